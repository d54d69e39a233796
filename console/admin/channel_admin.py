"""Channels of alerts: made with a test, and shown with what was sent there."""

from time import monotonic, sleep
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextInputWidget

from console.access import actor
from console.admin.base import (
    ConsoleAdmin,
    TabularInline,
    column,
    page_of,
    row_or_404,
    time_column,
)
from console.pages.people import shown_once
from core.errors import BadRequest
from serving.alerts.channels import aim, create_channel, delete_channel, update_channel
from serving.alerts.models import Channel, Message
from serving.alerts.outbox import queue_test

# People wait this long for the outcome of a test.
TEST_WAIT_S = 5.0


class ChannelForm(forms.ModelForm[Channel]):
    """A channel with its target, which is asked for anew to change it."""

    goes_to = forms.CharField(
        label="Target",
        max_length=2000,
        required=False,  # to be changed
        widget=UnfoldAdminTextInputWidget,
        help_text="Mail addresses separated by commas, or the URL of a webhook.",
    )

    class Meta:
        model = Channel
        fields = ("name", "kind", "enabled")

    def clean_goes_to(self) -> str:
        """Refuse a target beside its field, with what was typed into the others."""
        target = str(self.cleaned_data["goes_to"])
        kind = self.cleaned_data.get("kind", self.instance.kind)
        if target or self.instance.pk is None:
            try:
                aim(Channel(kind=kind), target=target)
            except BadRequest as error:
                raise forms.ValidationError(error.message) from None
        return target


class MessageInline(TabularInline[Message, Channel]):
    """The latest messages of a channel."""

    model = Message
    fields = readonly_fields = ("what", "state", "attempts", "written", "error", "uid")
    hide_title = True
    extra = max_num = 0
    can_delete = False
    per_page = 20

    what = column("what", lambda message: _told(message))
    written = time_column("written", "created_at")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # with its channel


def _told(message: Message) -> str:
    titles = [event["title"] for event in message.events]
    return ", ".join(titles[:3]) + (f" and {len(titles) - 3} more" if len(titles) > 3 else "")


@admin.register(Channel)
class ChannelAdmin(ConsoleAdmin[Channel]):
    list_display = ("name", "kind", "shown", "enabled", "made")
    form = ChannelForm
    actions_detail = ("send_test",)
    goes_along = frozenset({"message"})
    made = time_column("made", "created_at")
    leads_to = column("leads to", lambda channel: channel.shown)

    def get_inlines(self, request: HttpRequest, obj: Channel | None) -> Any:
        return [MessageInline] if obj else []

    def get_fields(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        if obj is None:
            return ("name", "kind", "goes_to")
        return ("name", "kind", "leads_to", "goes_to", "enabled", "problem")

    def get_readonly_fields(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        return () if obj is None else ("kind", "leads_to", "problem")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"kind": Channel.Kind.MAIL if settings.EMAIL_HOST else Channel.Kind.CHAT}

    def save_model(
        self, request: HttpRequest, obj: Channel, form: forms.ModelForm[Channel], change: bool
    ) -> None:
        if change:
            changed = {name: form.cleaned_data[name] for name in form.changed_data}
            changes = {"target" if name == "goes_to" else name: changed[name] for name in changed}
            update_channel(obj, changes=changes, by=actor(request))
            return
        made, secret = create_channel(
            name=obj.name, kind=obj.kind, target=form.cleaned_data["goes_to"], by=actor(request)
        )
        obj.__dict__.update(made.__dict__)
        if secret:
            messages.warning(request, shown_once(secret, what="secret"))
        self._test(request, made)

    def delete_model(self, request: HttpRequest, obj: Channel) -> None:
        delete_channel(obj, by=actor(request))

    def has_send_test_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("alerts.change_channel")

    @action(description="Send test", url_path="test", icon="send", permissions=("send_test",))
    def send_test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask first; then send a test message, and say whether it has arrived."""
        channel = row_or_404(Channel.objects.all(), pk=object_id)
        if request.method != "POST":
            said = {
                "title": f"Send a test to {channel}",
                "explanation": f"It goes to {channel.shown}; five seconds tell if it arrives.",
                "verb": "Send test",
            }
            return self.page(request, "console/confirm_base.html", row=channel, **said)
        self._test(request, channel)
        return HttpResponseRedirect(page_of(channel))

    def _test(self, request: HttpRequest, channel: Channel) -> None:
        message, until = queue_test(channel, by=actor(request)), monotonic() + TEST_WAIT_S
        # The control worker sends it.
        while message.state == Message.State.WAITING and monotonic() < until:
            sleep(0.2)
            message.refresh_from_db()
        if message.state == Message.State.SENT:
            messages.success(request, "The test message has arrived.")
        elif message.error:
            messages.error(request, f"The test message did not arrive. {message.error}")
        else:
            messages.info(request, "A test message is on its way; its outcome is shown below.")
