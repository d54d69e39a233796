"""All writes of the registry; each is atomic, and announced after its commit."""

from registry.services.actor import SYSTEM, Actor
from registry.services.api_keys import create_api_key, join, revoke_api_key, update_api_key
from registry.services.applications import (
    RouteRequest,
    create_application,
    declare_application,
    delete_application,
    replace_routes,
    set_objective,
    update_application,
)
from registry.services.approvals import approvals_of, approve_rollout, want_approvals
from registry.services.audit_trail import (
    audited,
    because,
    record_created,
    record_deleted,
    record_done,
    record_event,
    unchanged_since,
)
from registry.services.deployment import (
    begin_release,
    check_not_live,
    complete_release,
    deploy,
    earlier_versions,
    fail_release,
    may_go_back,
    note_check,
    note_progress,
    roll_back,
)
from registry.services.models import create_model, declare_model, delete_model, update_model
from registry.services.plans import delete_plan, plan_named, save_plan, summaries
from registry.services.reverting import revert
from registry.services.roles import add_person, remove_person, set_active, set_password, set_role
from registry.services.rollout_actions import act_on_rollout, rollout_act
from registry.services.rollout_ends import abort_rollout, promote_rollout, roll_back_rollout
from registry.services.rollout_steps import advance_rollout, begin_rollout
from registry.services.rollouts import hold_rollout, note_evidence, resume_rollout, words_of
from registry.services.signatures import arms_agreeing
from registry.services.version_checks import fail_check, needs_check, pass_check, request_check
from registry.services.versions import (
    autoscale,
    configure_version,
    create_remote_version,
    create_version,
    delete_version,
    keep_warm,
    live_version_of,
    note_load_error,
    prune_versions,
    set_secret,
    try_version,
)
