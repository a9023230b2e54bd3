# How inodes come into an InodeTable one by one, a part of inodes.pyx.


cdef uint32_t new_inode(
    InodeTable table, uint64_t inode_id, uint8_t kind, uint32_t mode, str owner, str group
) except 0:
    """An inode that is linked nowhere."""
    cdef uint32_t owner_number, group_number, slot
    cdef Record* record
    check_mode(mode)
    if inode_id == 0 or slot_of_id(&table.store, inode_id):
        raise ValueError(f"inode {inode_id} cannot be made: 0, or there already")
    owner_number = table.intern(owner)
    group_number = table.intern(group)
    slot = new_record(&table.store, inode_id, kind)
    record = record_at(&table.store, slot)
    record.mode = <uint16_t>mode
    record.owner = owner_number
    record.group = group_number
    return slot


cdef uint32_t add_inode(
    InodeTable table, uint32_t parent, str name, uint64_t inode_id, uint8_t kind, uint32_t mode,
    str owner, str group, int64_t now_ms, uint32_t born,
) except 0:
    """An inode linked into the directory *parent*."""
    cdef uint32_t slot = new_inode(table, inode_id, kind, mode, owner, group)
    cdef Record* record = record_at(&table.store, slot)
    record.mtime_ms = record.atime_ms = record.ctime_ms = now_ms
    record.born = born
    try:
        link_free(table, parent, slot, name)
    except BaseException:
        discard_record(&table.store, slot)
        raise
    return slot


cdef int link_free(InodeTable table, uint32_t parent, uint32_t slot, str name) except -1:
    """Link a detached inode under a name that is seen to be right and free."""
    cdef Store* store = &table.store
    cdef Py_ssize_t size
    cdef const uint8_t* raw = <const uint8_t*>PyUnicode_AsUTF8AndSize(name, &size)
    if not is_plain_name(raw, size):
        raise ValueError(f"{name!r} cannot be the name of an inode")
    if record_at(store, parent).kind == KIND_FILE:
        raise ValueError(f"inode {record_at(store, parent).id} is a file")
    if child_of(store, parent, raw, size):
        raise KeyError(name)
    return link_record(store, parent, slot, raw, size)
