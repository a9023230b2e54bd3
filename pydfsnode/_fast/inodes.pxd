"""The fields of the inode table and of its handles."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pydfsnode._fast.inode_records cimport Record, Store


cdef class Inode:
    cdef InodeTable table  # keeps the memory at `held` alive
    cdef Record* held
    cdef uint64_t id  # `held` has another one when the inode is gone
    cdef uint32_t slot

    cdef Record* record(self) except NULL
    cdef Record* file_record(self) except NULL


cdef class InodeTable:
    cdef Store store
    cdef list texts, raw_texts  # owners and groups by number
    cdef dict text_numbers
    cdef uint8_t phase
    cdef uint64_t* parents  # while loading: the parent's id by slot
    cdef uint64_t parent_capacity
    cdef dict pages  # while loading: (inode id, page) -> row
    cdef uint32_t last_owner, last_group  # while loading: of the record before

    cdef int check_ready(self) except -1
    cdef uint32_t own(self, Inode inode) except 0
    cdef Record* own_file(self, Inode inode) except NULL
    cdef Inode handle(self, uint32_t slot)
    cdef uint32_t intern(self, str text) except? 0
