# How an InodeTable is looked at, a part of inodes.pyx.


cdef Py_ssize_t count_names(const uint8_t* path, Py_ssize_t size) noexcept nogil:
    """The names of an absolute path; -1: it is not in the regular form."""
    cdef Py_ssize_t count = 0, start = 1, at
    if size == 0 or size > PATH_BYTES_MAX or path[0] != c"/":
        return -1
    if size == 1:
        return 0
    for at in range(1, size + 1):
        if at == size or path[at] == c"/":
            if not is_plain_name(path + start, <size_t>(at - start)):
                return -1
            count += 1
            start = at + 1
    return count


cdef tuple find_inode(InodeTable table, str path, object may_pass):
    cdef Store* store = &table.store
    cdef uint32_t slot = store.root, child
    cdef Py_ssize_t size, names, count
    cdef const uint8_t* start
    cdef const uint8_t* end
    cdef const uint8_t* stop
    cdef Record* record
    cdef Inode asked
    table.check_ready()
    if slot == 0:
        raise RuntimeError("the inode table has no root")
    try:
        start = <const uint8_t*>PyUnicode_AsUTF8AndSize(path, &size)
    except UnicodeEncodeError:
        return None
    count = count_names(start, size)
    if count < 0:
        return None
    stop = start + size
    for names in range(count):
        record = record_at(store, slot)
        if record.kind == KIND_FILE:
            return table.handle(slot), count - names
        if may_pass is not None and (
            record.mode & ALL_MAY_PASS != ALL_MAY_PASS or record.flags & HAS_ACL
        ):
            asked = table.handle(slot)
            may_pass(asked)
            asked.record()
        start += 1
        end = <const uint8_t*>memchr(start, c"/", stop - start)
        if end == NULL:
            end = stop
        child = child_of(store, slot, start, end - start)
        if child == 0:
            return table.handle(slot), count - names
        slot = child
        start = end
    return table.handle(slot), 0


cdef str path_of(InodeTable table, uint32_t bottom):
    cdef Store* store = &table.store
    cdef uint32_t slot = bottom
    cdef size_t size = 0
    cdef Record* record
    cdef uint8_t* raw
    cdef uint8_t* p
    while above(store, slot):
        size += 1 + <size_t>record_at(store, slot).name_size
        slot = record_at(store, slot).parent
    if size == 0:
        return "/"
    raw = <uint8_t*>take(store, size)
    try:
        p = raw + size
        slot = bottom
        while above(store, slot):
            record = record_at(store, slot)
            p -= record.name_size
            memcpy(p, name_of(record), record.name_size)
            p -= 1
            p[0] = c"/"
            slot = record.parent
        return PyUnicode_DecodeUTF8(<char*>raw, size, NULL)
    finally:
        give(store, raw, size)


cdef list page_of(InodeTable table, uint32_t directory, str after, Py_ssize_t count):
    cdef Store* store = &table.store
    cdef Record* record = record_at(store, directory)
    cdef Py_ssize_t size
    cdef const uint8_t* raw = <const uint8_t*>PyUnicode_AsUTF8AndSize(after, &size)
    cdef Directory* entries
    cdef Place place
    cdef list found = []
    cdef uint32_t slot
    if record.kind == KIND_FILE:
        return found
    entries = record.content.directory
    place = place_of(store, entries, raw, size)
    while len(found) < count and step_over(entries, &place):
        slot = runs_of(entries)[place.run].slots[place.at]
        place.at += 1
        if found or compare_entry(store, slot, raw, size) != 0:
            found.append(table.handle(slot))
    return found


cdef list ids_of(Store* store):
    cdef list ids = []
    cdef uint64_t slot
    for slot in range(1, store.slots_used):
        if record_at(store, <uint32_t>slot).id:
            ids.append(record_at(store, <uint32_t>slot).id)
    ids.sort()
    return ids


cdef list flagged_ids(Store* store, uint8_t flags):
    cdef list ids = []
    cdef Record* record
    cdef uint64_t slot
    for slot in range(1, store.slots_used):
        record = record_at(store, <uint32_t>slot)
        if record.id and record.flags & flags:
            ids.append(record.id)
    ids.sort()
    return ids


cdef list chunk_ids_of(Store* store):
    cdef list ids = []
    cdef uint64_t slot
    cdef uint32_t at
    cdef Record* record
    for slot in range(1, store.slots_used):
        record = record_at(store, <uint32_t>slot)
        if record.kind == KIND_FILE:
            for at in range(record.chunk_count):
                ids.append(chunks_of(record)[at].id)
    ids.sort()
    return ids
