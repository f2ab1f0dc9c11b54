import hmac

import pytest

from doorward.core.tokens.signing import mac


@pytest.mark.parametrize("key_length", [0, 1, 31, 32, 33, 63, 64, 65, 200])
@pytest.mark.parametrize("message_length", [0, 1, 55, 56, 64, 65, 400])
def test_the_mac_is_the_hmac_of_the_standard_library(key_length: int, message_length: int) -> None:
    key, message = bytes(range(key_length)), bytes(byte & 255 for byte in range(message_length))
    assert mac(key, message) == hmac.digest(key, message, "sha256")
