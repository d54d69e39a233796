"""Types of inputs."""

from django.db import models


class InputType(models.TextChoices):
    DOUBLES = "doubles", "doubles: array of numbers, 64 bit"
    FLOATS = "floats", "floats: array of numbers, 32 bit"
    INTEGERS = "integers", "integers: array of whole numbers"
    STRINGS = "strings", "strings: text"
    BYTES = "bytes", "bytes: base64 text"
    JSON = "json", "json: anything"
    COLUMNS = "columns", "columns: an object a row, as in a data frame"
    TENSOR = "tensor", "tensor: nested arrays of numbers"
