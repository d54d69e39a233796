"""Loading of a version from its specification."""

from serving.container.failures.container_errors import (
    ContainerError,
    LoadFailed,
    SignatureRefused,
    explain,
    let_interrupts_through,
)
from serving.container.inputs.parsing import check_input_type
from serving.container.inputs.signature import (
    InvalidSignature,
    joined,
    read_signature,
    signature_of,
)
from serving.container.predictor import LoadedModel, ModelPredictor, Predictor
from serving.container.runtimes import find_runtime
from serving.container.spec import LoadSpec


def load_predictor(spec: LoadSpec) -> Predictor:
    """Load a version's artifact; every refusal and failure is a ContainerError."""
    load = find_runtime(spec.runtime)
    check_input_type(spec.input_type)  # an unknown type is refused before the artifact's code runs
    spec.verify()
    try:
        loaded = load(spec)
        return loaded if isinstance(loaded, Predictor) else _predictor_of(loaded, spec=spec)
    except ContainerError:
        raise
    except InvalidSignature as error:
        raise SignatureRefused(str(error)) from error
    except BaseException as error:
        let_interrupts_through(error)
        raise LoadFailed(f"the model failed to load: {explain(error)}") from error


def _predictor_of(model: LoadedModel, *, spec: LoadSpec) -> ModelPredictor:
    said = read_signature(spec.signature, input_type=spec.input_type)
    return ModelPredictor(
        model,
        input_type=spec.input_type,
        search_s=spec.search_s,
        signature=joined(said, signature_of(model, input_type=spec.input_type)),
        example=spec.example,
    )
