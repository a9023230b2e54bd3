"""Why a peer was refused: one word for counters and logs, one sentence for whoever was refused."""

from __future__ import annotations

import ssl

from pydfsnode.errors import PeerUnauthenticated

_VERIFY_REASONS = {
    9: "not_yet_valid",
    10: "expired",
    18: "self_signed",
    19: "unknown_ca",  # self-signed certificate in the chain
    2: "unknown_ca",
    20: "unknown_ca",
    21: "unknown_ca",
    26: "purpose",
}
"""OpenSSL's X509_V_ERR_* by number."""
_PARTS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no_certificate",
    "UNSUPPORTED_PROTOCOL": "tls_version",
    "HTTP_REQUEST": "not_tls",
    "WRONG_VERSION_NUMBER": "not_tls",
}
_ALERTS = {
    "CERTIFICATE_EXPIRED": "says that our certificate expired: 'pydfsnode certs issue' makes a new "
    "one; when 'pydfsnode certs show' says that it is valid, compare the clocks",
    "UNKNOWN_CA": "does not believe the CA of our certificate: it is of another cluster, or the CA "
    "was changed and ours is of the old one: issue a new one",
    "BAD_CERTIFICATE": "does not take our certificate: it is damaged or not valid yet; compare the "
    "clocks",
    "UNSUPPORTED_CERTIFICATE": "does not take our certificate: it is not made for this use; issue "
    "one with 'pydfsnode certs issue'",
    "CERTIFICATE_REQUIRED": "wants a certificate, and we showed none: name one in [tls]",
    "PROTOCOL_VERSION": "speaks no TLS 1.3: it is no pydfsnode",
}
_PEER_SENTENCES = {
    "expired": "its certificate expired: renew it there",
    "not_yet_valid": "its certificate is not valid yet: compare the clocks",
    "self_signed": "its certificate is self-signed, of no CA",
    "unknown_ca": "its certificate is of another CA than those in our ca.crt: it is of another "
    "cluster, or the CA was changed and ca.crt is old",
    "purpose": "its certificate may not serve: issue one with 'pydfsnode certs issue'",
}


def refusal_reason(error: PeerUnauthenticated) -> str:
    """The word for a peer whose certificate was read."""
    reason = error.fields.get("reason")
    if reason:
        return str(reason)
    found = str(error.fields.get("found", ""))
    if found == "no certificate":
        return "no_certificate"
    return "cluster" if found.startswith("spiffe://") else "identity"


def handshake_reason(error: BaseException) -> str:
    """The word for a handshake that failed; "" when it has nothing to do with certificates."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_REASONS.get(error.verify_code, "untrusted")
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        return next((word for part, word in _PARTS.items() if part in reason), "tls")
    return ""


def peer_sentence(error: ssl.SSLCertVerificationError) -> str:
    """What is wrong with the certificate of the peer that we called."""
    word = handshake_reason(error)
    return _PEER_SENTENCES.get(word, f"its certificate is not good: {error.verify_message}")


def alert_sentence(error: ssl.SSLError) -> str:
    """What the peer that we called said of our certificate."""
    reason = error.reason or str(error)
    for part, sentence in _ALERTS.items():
        if reason.endswith(part):
            return sentence
    return f"ended TLS: {reason}"
