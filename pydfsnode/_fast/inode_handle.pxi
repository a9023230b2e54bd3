# The handle of an inode, a part of inodes.pyx.

@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Inode:
    """A handle of a file or directory: reads and writes its record, is made on demand.

    Every access raises RuntimeError once the inode was discarded. Setters raise OverflowError or
    ValueError for what the record cannot hold.
    """

    cdef Record* record(self) except NULL:
        if self.held == NULL or self.held.id != self.id:
            raise RuntimeError(f"inode {self.id} was discarded, its handle is used still")
        return self.held

    cdef Record* file_record(self) except NULL:
        if self.record().kind != KIND_FILE:
            raise ValueError(f"inode {self.id} is a directory, not a file")
        return self.held

    def __eq__(self, other):
        if not isinstance(other, Inode):
            return NotImplemented
        return self.table is (<Inode>other).table and self.id == (<Inode>other).id

    def __hash__(self):
        return hash(self.id)

    def __repr__(self):
        return f"<Inode {self.id}>"

    @property
    def inode_id(self):
        return self.record().id

    @property
    def parent_id(self):
        cdef uint32_t parent = self.record().parent
        return record_at(&self.table.store, parent).id if parent else 0

    @property
    def name(self):
        cdef const uint8_t* name = name_of(self.record())
        return PyUnicode_DecodeUTF8(<char*>name, self.held.name_size, NULL)

    @property
    def is_file(self):
        return self.record().kind == KIND_FILE

    @property
    def is_directory(self):
        return self.record().kind == KIND_DIRECTORY

    @property
    def mode(self):
        return self.record().mode

    @mode.setter
    def mode(self, uint32_t value):
        check_mode(value)
        self.record().mode = <uint16_t>value

    @property
    def owner(self):
        return self.table.texts[self.record().owner]

    @owner.setter
    def owner(self, str value not None):
        self.record().owner = self.table.intern(value)

    @property
    def group(self):
        return self.table.texts[self.record().group]

    @group.setter
    def group(self, str value not None):
        self.record().group = self.table.intern(value)

    @property
    def mtime_ms(self):
        return self.record().mtime_ms

    @mtime_ms.setter
    def mtime_ms(self, int64_t value):
        self.record().mtime_ms = value

    @property
    def atime_ms(self):
        return self.record().atime_ms

    @atime_ms.setter
    def atime_ms(self, int64_t value):
        self.record().atime_ms = value

    @property
    def ctime_ms(self):
        return self.record().ctime_ms

    @ctime_ms.setter
    def ctime_ms(self, int64_t value):
        self.record().ctime_ms = value

    @property
    def flags(self):
        return self.record().flags

    @flags.setter
    def flags(self, uint8_t value):
        self.record().flags = value

    @property
    def born(self):
        return self.record().born

    @born.setter
    def born(self, uint32_t value):
        self.record().born = value

    @property
    def changed(self):
        return self.record().changed

    @changed.setter
    def changed(self, uint32_t value):
        self.record().changed = value

    @property
    def crc32c(self):
        return self.record().crc32c

    @crc32c.setter
    def crc32c(self, uint32_t value):
        self.file_record().crc32c = value

    @property
    def size(self):
        return self.record().size

    @property
    def replication(self):
        return self.record().replication

    @property
    def chunk_bytes(self):
        return self.record().chunk_bytes

    @property
    def chunk_count(self):
        return self.record().chunk_count

    @property
    def child_count(self):
        cdef Record* record = self.record()
        return record.content.directory.child_count if record.kind == KIND_DIRECTORY else 0

    @property
    def files_below(self):
        return totals_of(self.record()).files

    @property
    def directories_below(self):
        return totals_of(self.record()).directories - (self.held.kind == KIND_DIRECTORY)

    @property
    def bytes_below(self):
        return totals_of(self.record()).bytes

    @property
    def space_below(self):
        return totals_of(self.record()).space
