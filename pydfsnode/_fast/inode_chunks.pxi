# What goes through many chunks of one file, a part of inodes.pyx.


cdef list pop_chunks_of(InodeTable table, Record* record, uint32_t slot, uint32_t count):
    cdef Store* store = &table.store
    cdef list popped = []
    cdef uint64_t size = record.size
    cdef Chunk* chunk
    cdef uint32_t at
    if count > record.chunk_count:
        raise IndexError(f"inode {record.id} has {record.chunk_count} chunks, not {count}")
    # All tuples first: for want of memory nothing changes.
    for at in range(count):
        popped.append(chunk_tuple(chunks_of(record) + (record.chunk_count - 1 - at)))
    for at in range(count):
        chunk = chunks_of(record) + (record.chunk_count - 1 - at)
        remove_entry(&store.chunks, CHUNK_WIDTH, id_hash(store, chunk.id), slot)
        size -= chunk.length
    record.chunk_count -= count
    store.chunk_count -= count
    if record.chunk_count == 0:
        drop_chunks(store, record)
    resize_file(store, record, size, record.replication)
    return popped


cdef tuple chunks_beyond_of(Record* record, uint64_t size):
    cdef uint64_t begin = record.size
    cdef uint32_t count = 0
    while count < record.chunk_count and begin > size:
        count += 1
        begin -= chunks_of(record)[record.chunk_count - count].length
    return count, begin


cdef uint32_t joined_crc32c_of(Record* record):
    cdef const Chunk* chunk
    cdef uint32_t whole = 0, at
    for at in range(record.chunk_count):
        chunk = chunks_of(record) + at
        whole = join_freely(whole, chunk.crc32c, chunk.length)
    return whole
