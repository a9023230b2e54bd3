"""What to do about an error: a sentence for those whose message says only what happened."""

from __future__ import annotations

import errno

import click

from pydfsnode import errors

_TLS = "[tls] in the client's configuration"
_SENTENCES: dict[type[BaseException], str] = {
    errors.AccessDenied: "its owner or a superuser can allow it ('pydfsnode fs chmod', 'setfacl')",
    errors.QuotaExceeded: "delete something there past the trash, or have an administrator raise "
    "it ('pydfsnode fs quota show' and 'set')",
    errors.SafeMode: "an administrator ends that with 'pydfsnode cluster safemode leave'",
    errors.FileUnderConstruction: "wait until its writer closes it",
    errors.LeaseExpired: "somebody else has taken the file over: write it again",
    errors.NoChunkservers: "'pydfsnode cluster report' shows which chunkservers are full or "
    "missing: start them, add one, or delete something",
    errors.PipelineBroken: "try again; 'pydfsnode cluster status' shows which chunkservers "
    "are gone",
    errors.ChunkUnavailable: "start the chunkservers that are gone ('pydfsnode cluster status'); "
    "'pydfsnode cluster fsck' shows what else cannot be read",
    errors.Overloaded: "try again in a while",
    errors.OutcomeUnknown: "it may have been done: look before you repeat it",
    errors.OtherCluster: f"name the masters of the certificate's own cluster, or give its CA and "
    f"certificate under {_TLS}",
    errors.IssuerUntrusted: f"give the cluster's present CA and a valid certificate under {_TLS} "
    "('pydfsnode certs show FILE' shows of which cluster and how long valid they are)",
    errors.CertificateRevoked: "have an administrator issue a new one ('pydfsnode certs issue')",
    errors.PeerUnauthenticated: f"check the CA and the certificate under {_TLS} with 'pydfsnode "
    "certs show FILE'",
}
_BY_NUMBER = {
    errno.ENOSPC: "make room; a copy goes on with --resume",
    errno.EDQUOT: "make room; a copy goes on with --resume",
    errno.EMFILE: "copy fewer files at once (-t), or raise 'ulimit -n'",
}


def advice(error: BaseException) -> str:
    """What to do about *error*, "" when its message says it; by the nearest class."""
    if isinstance(error, OSError) and error.errno in _BY_NUMBER:
        return _BY_NUMBER[error.errno]
    for kind in type(error).__mro__:
        if kind in _SENTENCES:
            return _SENTENCES[kind]
    return ""


def advice_once(error: BaseException) -> str:
    """As `advice`, for the first error of its class in a command: a tree may have thousands."""
    context = click.get_current_context(silent=True)
    if context is None:
        return advice(error)
    given: set[type[BaseException]] = context.meta.setdefault(f"{__name__}.given", set())
    if type(error) in given:
        return ""
    given.add(type(error))
    return advice(error)
