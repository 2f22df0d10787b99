"""The forms of texts in a pipeline's TOML: the pattern that pydantic checks, and its meaning in words."""

MEMORY = r"^[1-9]\d{0,5}(MB|GB)$"
DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"
CHANGE = r"^[+-]?\d+(\.\d+)?%$"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
FORMS = {  # pattern → its meaning in words
    MEMORY: "an amount of memory such as 4GB or 500MB",
    DEVICE: "auto, cpu, cuda or one of several such as cuda:1",
    CHANGE: "a relative change such as -1%",
    NAME: "letters, digits and . _ - behind a letter or digit",
}
