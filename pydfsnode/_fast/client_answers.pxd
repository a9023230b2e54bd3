"""The fields of the reader of answers."""

from pydfsnode._fast.protobuf_fields cimport Field

cdef class ClientAnswers:
    cdef object status_class, chunk_class, freshness_class
    cdef str file_type, directory_type, owner, group

    cdef object read_status(self, bytes answer)
    cdef tuple read_page(self, bytes answer)
    cdef tuple read_located(self, bytes answer)
    cdef object one_status(self, Field* message, object freshness)
    cdef object one_chunk(self, Field* message)
    cdef object label_of(self, Field* message)
