# How an InodeTable's rows are made and loaded, a part of inodes.pyx.


cdef bytes encode_inodes(
    InodeTable table, const uint32_t* slots, uint32_t count, bint as_block, uint32_t pages=0,
    uint64_t turn=0
):
    """Behind each file come up to *pages* of its full ones, the next ones with each *turn*."""
    cdef Store* store = &table.store
    cdef size_t bytes_max = 1
    cdef uint32_t at
    cdef Record* record
    cdef uint8_t* row
    cdef uint8_t* p
    for at in range(count):
        record = record_at(store, slots[at])
        bytes_max += FIXED_BYTES_MAX + record.name_size
        bytes_max += (record.chunk_count & (CHUNKS_PER_PAGE_ - 1)) * CHUNK_BYTES_MAX
        if pages:
            bytes_max += pages_of_turn(record, pages) * CHUNKS_PER_PAGE_ * CHUNK_BYTES_MAX
        bytes_max += len(<bytes>table.raw_texts[record.owner])
        bytes_max += len(<bytes>table.raw_texts[record.group])
    row = p = <uint8_t*>take(store, bytes_max)
    try:
        if as_block:
            p[0] = ROW_FORMAT
            p += 1
        for at in range(count):
            record = record_at(store, slots[at])
            p = put_inode(table, p, record)
            if pages:
                p = put_pages(p, record, pages, turn)
        return PyBytes_FromStringAndSize(<char*>row, p - row)
    finally:
        give(store, row, bytes_max)


cdef uint8_t* put_inode(InodeTable table, uint8_t* p, Record* record) except NULL:
    cdef bytes owner = table.raw_texts[record.owner], group = table.raw_texts[record.group]
    p[0] = record.kind
    p = put_varint(p + 1, record.id)
    p = put_varint(p, record_at(&table.store, record.parent).id if record.parent else 0)
    p[0] = record.flags
    p = put_varint(p + 1, record.mode)
    p = put_text(p, <const uint8_t*>owner, len(owner))
    p = put_text(p, <const uint8_t*>group, len(group))
    return put_after_texts(p, record)


cdef inline uint32_t pages_of_turn(Record* record, uint32_t pages) noexcept nogil:
    cdef uint32_t held = 0
    if record.kind == KIND_FILE:
        held = record.chunk_count // <uint32_t>CHUNKS_PER_PAGE_
    return held if held < pages else pages


cdef uint8_t* put_pages(
    uint8_t* p, Record* record, uint32_t pages, uint64_t turn
) except NULL:
    cdef uint64_t held = record.chunk_count // <uint32_t>CHUNKS_PER_PAGE_
    cdef uint64_t page
    cdef uint32_t at
    for at in range(pages_of_turn(record, pages)):
        page = (turn * pages + at) % held
        p = put_chunks(p, chunks_of(record) + page * CHUNKS_PER_PAGE_, CHUNKS_PER_PAGE_)
    return p


cdef bytes encode_inode_span(
    InodeTable table, uint64_t first, uint32_t count, uint32_t pages, uint64_t turn
):
    cdef Store* store = &table.store
    cdef uint32_t found = 0, at, slot
    cdef uint32_t* slots = <uint32_t*>take(store, count * sizeof(uint32_t))
    try:
        for at in range(count):
            slot = slot_of_id(store, first + at)
            if slot:
                slots[found] = slot
                found += 1
        return encode_inodes(table, slots, found, False, pages, turn)
    finally:
        give(store, slots, count * sizeof(uint32_t))


cdef bytes encode_chunks(const Chunk* chunks):
    """A page."""
    cdef uint8_t row[1 + CHUNKS_PER_PAGE_ * CHUNK_BYTES_MAX]
    row[0] = ROW_FORMAT
    return PyBytes_FromStringAndSize(
        <char*>row, put_chunks(row + 1, chunks, CHUNKS_PER_PAGE_) - row
    )


# ---- loading


cdef int begin_load(InodeTable table) except -1:
    """Raise unless the table holds nothing but what was loaded. What fails from here breaks it."""
    if table.phase == BROKEN or (table.phase == READY and table.store.slots_used):
        raise RuntimeError("rows are loaded into an empty table, and not after one that failed")
    table.phase = BROKEN
    return 0


cdef int decode_page(bytes row, Chunk* chunks) except -1:
    cdef Reader reader
    open_row(&reader, row)
    get_chunks(&reader, chunks, CHUNKS_PER_PAGE_)
    if reader.bad or reader.p != reader.end:
        raise ValueError("a page of chunks is damaged")
    return 0


cdef int load_inodes(InodeTable table, uint64_t block, bytes row) except -1:
    cdef Reader reader
    cdef uint64_t inode_id = 0
    open_row(&reader, row)
    while inode_id == 0 or reader.p != reader.end:
        inode_id = load_inode(table, &reader, block, inode_id)
    return 0


cdef uint64_t load_inode(
    InodeTable table, Reader* reader, uint64_t block, uint64_t after
) except 0:
    """The next inode of a block, with an id over *after*."""
    cdef uint8_t kind = get_byte(reader)
    cdef uint64_t inode_id = get_varint(reader)
    cdef uint64_t parent_id = get_varint(reader)
    cdef Record* record
    cdef uint32_t slot
    if reader.bad or (kind != KIND_FILE and kind != KIND_DIRECTORY):
        raise ValueError(f"block {block} of inodes is damaged behind inode {after}")
    if inode_id <= after or inode_id // <uint64_t>INODES_PER_BLOCK_ != block:
        raise ValueError(f"inode {inode_id} behind inode {after} in block {block}")
    if slot_of_id(&table.store, inode_id):
        raise ValueError(f"inode {inode_id}: its block {block} comes twice")
    slot = new_record(&table.store, inode_id, kind)
    set_parent_id(table, slot, parent_id)
    record = record_at(&table.store, slot)
    load_attributes(table, reader, record, parent_id)
    if kind == KIND_FILE:
        load_file(table, reader, record)
    if reader.bad:
        raise ValueError(f"inode {inode_id}: its row is damaged")
    return inode_id


cdef int set_parent_id(InodeTable table, uint32_t slot, uint64_t parent_id) except -1:
    cdef uint64_t capacity = table.parent_capacity
    if slot >= capacity:
        capacity += (capacity >> 1) + BLOCK_RECORDS
        table.parents = <uint64_t*>resize(
            &table.store,
            table.parents,
            table.parent_capacity * sizeof(uint64_t),
            capacity * sizeof(uint64_t),
        )
        table.parent_capacity = capacity
    table.parents[slot] = parent_id
    return 0


cdef int load_attributes(
    InodeTable table, Reader* reader, Record* record, uint64_t parent_id
) except -1:
    """What files and directories have in common."""
    cdef const uint8_t* name
    cdef uint64_t size
    record.flags = get_byte(reader)
    record.mode = <uint16_t>get_u32(reader, MODE_MAX)
    record.owner = table.last_owner = load_text(table, reader, table.last_owner)
    record.group = table.last_group = load_text(table, reader, table.last_group)
    size = get_varint(reader)
    name = get_bytes(reader, size)
    if reader.bad:
        raise ValueError(f"inode {record.id}: its row is damaged")
    if size if parent_id == record.id else not is_plain_name(name, size):
        raise ValueError(f"inode {record.id}: its name cannot be")
    check_utf8(name, size)
    set_name(&table.store, record, take_name(&table.store, size), name, size)
    record.mtime_ms = get_zigzag(reader)
    record.atime_ms = get_zigzag(reader)
    record.ctime_ms = get_zigzag(reader)
    record.born = get_u32(reader, 0xFFFFFFFF)
    record.changed = get_u32(reader, 0xFFFFFFFF)
    return 0


cdef uint32_t load_text(InodeTable table, Reader* reader, uint32_t last) except? 0:
    """The number of an owner or group; *last* is that of the record before, most often the same."""
    cdef uint64_t size = get_varint(reader)
    cdef const uint8_t* raw = get_bytes(reader, size)
    cdef bytes known
    if reader.bad:
        return 0
    if last < <uint32_t>len(table.raw_texts):
        known = table.raw_texts[last]
        if <uint64_t>len(known) == size and memcmp(<const char*>known, raw, size) == 0:
            return last
    return table.intern(PyUnicode_DecodeUTF8(<char*>raw, <Py_ssize_t>size, NULL))


cdef int load_file(InodeTable table, Reader* reader, Record* record) except -1:
    """What only files have; of the chunks those behind the last full page."""
    cdef uint32_t count, tail
    record.replication = get_byte(reader)
    record.chunk_bytes = get_u32(reader, 0xFFFFFFFF)
    record.size = get_varint(reader)
    record.crc32c = get_crc(reader)
    count = get_u32(reader, 0xFFFFFFFF)
    tail = count & (CHUNKS_PER_PAGE_ - 1)
    if record.replication == 0:
        reader.bad = True
    if reader.bad:
        return 0
    reserve_chunks(&table.store, record, tail)
    get_chunks(reader, chunks_of(record), tail)
    record.chunk_count = count  # whole pages come in `join_pages`
    return 0


cdef int join_pages(InodeTable table, Record* record) except -1:
    """Put the full pages of a file before its last chunks."""
    cdef uint32_t pages = record.chunk_count // <uint32_t>CHUNKS_PER_PAGE_
    cdef uint32_t tail = record.chunk_count & (CHUNKS_PER_PAGE_ - 1)
    cdef uint32_t page
    cdef Chunk* chunks
    if pages == 0:
        return 0
    for page in range(pages):  # a damaged count must not ask for gigabytes
        if (record.id, page) not in table.pages:
            raise ValueError(f"inode {record.id}: its page {page} of chunks is missing")
    reserve_chunks(&table.store, record, record.chunk_count)
    chunks = chunks_of(record)
    memmove(chunks + pages * CHUNKS_PER_PAGE_, chunks, tail * sizeof(Chunk))
    for page in range(pages):
        decode_page(table.pages.pop((record.id, page)), chunks + page * CHUNKS_PER_PAGE_)
    return 0


cdef int finish(
    InodeTable table, uint64_t root_id, uint64_t next_inode_id, uint64_t next_chunk_id
) except -1:
    cdef Store* store = &table.store
    cdef uint32_t root = slot_of_id(store, root_id)
    cdef uint64_t slot
    cdef Record* record
    if root == 0 or record_at(store, root).kind != KIND_DIRECTORY or (
        table.parents[root] != root_id
    ):
        raise ValueError(f"inode {root_id}: the root is missing or no root")
    for slot in range(1, store.slots_used):
        record = record_at(store, <uint32_t>slot)
        if record.id >= next_inode_id:
            raise ValueError(f"inode {record.id}: its id is not given out yet")
        if record.kind == KIND_FILE:
            join_pages(table, record)
    for inode_id, page in table.pages:
        raise ValueError(f"inode {inode_id}: it has no page {page} of chunks, but a row of it")
    store.root = root
    link_parents(store, table.parents)
    order_names(store, table.parents)
    index_names(store)
    index_chunks(store, next_chunk_id)
    sum_totals(store)
    give(store, table.parents, table.parent_capacity * sizeof(uint64_t))
    table.parents = NULL
    table.parent_capacity = 0
    return 0
