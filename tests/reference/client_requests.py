"""The requests of clients by protobuf itself."""

from __future__ import annotations

from pydfsnode.rpc.pb import dfs_pb2 as pb


def operation(client_id: int, seq: int, first_unacked: int) -> bytes:
    """The op id as it begins each change."""
    op = pb.OpId(client_id=client_id, seq=seq, first_unacked=first_unacked)
    return pb.DeleteRequest(op=op).SerializeToString()


def mkdirs(path: str, mode: int) -> bytes:
    """Without its op, as all changes here."""
    return pb.MkdirsRequest(path=path, mode=mode).SerializeToString()


def create(
    path: str,
    replication: int,
    chunk_bytes: int,
    mode: int,
    overwrite: bool,
    create_parents: bool,
    content: bytes | None,
) -> bytes:
    """With content None: without that field."""
    request = pb.CreateRequest(
        path=path,
        replication=replication,
        chunk_bytes=chunk_bytes,
        mode=mode,
        overwrite=overwrite,
        create_parents=create_parents,
    )
    if content is not None:
        request.content = content
    return request.SerializeToString()


def delete(path: str, recursive: bool) -> bytes:
    """A DeleteRequest."""
    return pb.DeleteRequest(path=path, recursive=recursive).SerializeToString()


def rename(source: str, destination: str, overwrite: bool) -> bytes:
    """A RenameRequest."""
    return pb.RenameRequest(
        source=source, destination=destination, overwrite=overwrite
    ).SerializeToString()


def look(path: str, options: pb.ReadOptions | None) -> bytes:
    """A StatRequest; a LocateRequest has the same form."""
    return pb.StatRequest(path=path, read=options).SerializeToString()


def list_page(path: str, start_after: str, limit: int, options: pb.ReadOptions | None) -> bytes:
    """A ListRequest."""
    return pb.ListRequest(
        path=path, start_after=start_after, limit=limit, read=options
    ).SerializeToString()


def batch(methods: list[str], requests: list[bytes]) -> bytes:
    """A BatchRequest."""
    items = [
        pb.BatchItem(method=method, request=request)
        for method, request in zip(methods, requests, strict=True)
    ]
    return pb.BatchRequest(items=items).SerializeToString()
