"""The entry kernels for sibling modules."""

from libc.stdint cimport uint8_t

cdef Py_ssize_t checked_size(const uint8_t* p, Py_ssize_t left, Py_ssize_t offset) except -1
