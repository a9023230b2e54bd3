"""The fields of the encoder of statuses."""

cdef class Statuses:
    cdef int is_open, has_acl, is_inline
