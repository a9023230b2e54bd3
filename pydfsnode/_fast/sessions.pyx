"""Active sessions of clients: outcomes by seq, the order of use, and which rows changed.

What every operation passes is here. What a rare one needs (refusals, sessions that fall asleep) is
said above, in `meta/sessions.py`: `admit` asks `judge` there unless the case is plain.
"""

cimport cython
from cpython.exc cimport PyErr_Clear, PyErr_Occurred
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport INT64_MAX, uint32_t, uint64_t
from libc.stdlib cimport qsort

from pydfsnode._fast.session_outcomes cimport (
    Kept,
    highest,
    insert,
    lowest,
    make_room,
    place_of,
    remove,
)

cdef extern from "Python.h":
    uint64_t PyLong_AsUnsignedLongLong(object value) noexcept  # errors are looked for here


cdef enum:
    CHANGES_MIN = 64
    CHANGES_KEPT = 8192  # of an empty list

cdef uint64_t SEQ_MAX = <uint64_t>-2  # a floor is one more


cdef inline bint natural(object value, uint64_t* number):
    """Whether the integer *value* fits; if so *number* is set."""
    number[0] = PyLong_AsUnsignedLongLong(value)
    if number[0] == <uint64_t>-1 and PyErr_Occurred() != NULL:
        PyErr_Clear()
        return False
    return True


cdef int in_order(const void* first, const void* second) noexcept nogil:
    cdef uint64_t one = (<const uint64_t*>first)[0], other = (<const uint64_t*>second)[0]
    return (one > other) - (one < other)


@cython.final
@cython.no_gc
cdef class Session:
    """One client's; its fields are the table's business."""

    def __dealloc__(self):
        cdef uint32_t at
        for at in range(self.outcomes.capacity):
            if self.outcomes.seqs[at]:
                Py_DECREF(<object>self.outcomes.kept[at].outcome)
        PyMem_Free(self.outcomes.seqs)


@cython.no_gc_clear
cdef class ActiveSessions:
    """See the module. Operations are any objects with client_id, seq, first_unacked and at_ms.

    Numbers are unsigned 64-bit integers, client ids and seqs from 1, seqs up to 2^64 - 2.

    Args of the constructor:
        make_row: called with (index, at_ms, floor, outcome) for each row that is asked for.
        outcomes_max: with so many outcomes nothing is a plain case any more.
        session_outcomes_max: of one session; a further one lets the oldest go.

    Attributes:
        dormant: client id -> row of a session that sleeps, anything with `floor`; the caller's.
        forgotten_count: the caller's.
        nobody_idle_ms: the caller's; after this log time nothing is a plain case.
    """

    def __cinit__(self):
        self.sessions = {}
        self.dormant = {}

    def __init__(self, make_row, Py_ssize_t outcomes_max, Py_ssize_t session_outcomes_max):
        self.make_row = make_row
        self.outcomes_max = outcomes_max
        self.session_outcomes_max = session_outcomes_max

    def __dealloc__(self):
        PyMem_Free(self.changes)

    # ---- operations

    def admit(self, op, index, uint64_t clock_ms):
        """Return the first outcome of *op*; None: apply it now, and then `remember` it.

        Raises:
            OverflowError: *clock_ms* is no unsigned 64-bit integer.
            Anything that `judge` raises.
        """
        cdef object client_id = op.client_id
        cdef uint64_t seq = 0, first_unacked = 0, at_ms = 0
        cdef Session session = self.find(client_id)
        cdef Py_ssize_t place
        if session is not None and natural(op.seq, &seq) and seq:
            place = place_of(&session.outcomes, seq)
            if place >= 0:
                return <object>session.outcomes.kept[place].outcome
            if (
                session.floor <= seq <= SEQ_MAX
                and clock_ms <= self.nobody_idle_ms
                and self.outcome_count < self.outcomes_max
                and session.outcomes.count < self.session_outcomes_max
                and natural(op.first_unacked, &first_unacked)
                and first_unacked <= seq
                and natural(op.at_ms, &at_ms)
                and at_ms <= <uint64_t>INT64_MAX
            ):
                return None
        self.judge(op, index, clock_ms)
        return None

    def judge(self, op, index, clock_ms):
        """Raise unless *op*, whose outcome is not known, can be applied and remembered.

        For a subclass to say: here everything can.
        """

    def remember(self, op, uint64_t index, uint64_t clock_ms, outcome):
        """Keep the outcome of *op*, just admitted and applied; drop what its client says it holds.

        Raises:
            MemoryError: there is no room; who goes on would answer a retry wrongly.
            OverflowError: a number that `admit` lets through only because `judge` does.
        """
        cdef object client_id = op.client_id
        cdef uint64_t seq = op.seq, first_unacked = 0
        cdef Session session = self.find(client_id)
        cdef uint64_t before
        if session is None:
            session = self.new_session(client_id)
            asleep = self.dormant.pop(client_id, None)
            if asleep is not None:
                session.floor = asleep.floor
                self.change(session.client_id, 0, False)
        elif self.newest != <PyObject*>session:
            self.unlink(session)
            self.link(session)
        session.at_ms = clock_ms
        if natural(op.first_unacked, &first_unacked) and first_unacked > session.floor:
            before = session.floor
            session.floor = first_unacked
            self.drop_below(session, before, first_unacked)
        if session.outcomes.count >= self.session_outcomes_max:
            before = session.floor
            session.floor = max(before, lowest(&session.outcomes, before) + 1)
            self.drop_below(session, before, session.floor)
        self.put(session, seq, index, clock_ms, session.floor, outcome, True)

    def last_heard_ms(self, client_id):
        """Return the log time of the client's last operation; None: it has no active session."""
        cdef Session session = self.find(client_id)
        return None if session is None else session.at_ms

    # ---- looking, and what `judge` needs

    def clients(self):
        """Return the clients of active sessions, the one that is idle for longest first."""
        cdef list found = []
        cdef PyObject* at = self.oldest
        while at != NULL:
            found.append((<Session>at).client_id)
            at = (<Session>at).newer
        return found

    def client_count(self):
        """Return how many sessions are active."""
        return len(self.sessions)

    def oldest_client(self):
        """Return the client that is idle for longest; 0: nobody is active."""
        return 0 if self.oldest == NULL else (<Session>self.oldest).client_id

    def is_active(self, client_id):
        """Return whether the client has an active session."""
        return client_id in self.sessions

    def floor_of(self, client_id):
        """Return the lowest seq that an active client may use; None: it is not active.

        That is its floor. When its session is full, what is below all outcomes cannot be kept.
        """
        cdef Session session = self.find(client_id)
        if session is None:
            return None
        if session.outcomes.count < self.session_outcomes_max:
            return session.floor
        return max(session.floor, lowest(&session.outcomes, session.floor))

    def rows_of(self, client_id):
        """Return (seq, row) of each outcome of the client, by seq; [] when it is not active."""
        cdef Session session = self.find(client_id)
        cdef list found = []
        cdef uint32_t place
        if session is not None:
            for place in range(session.outcomes.capacity):
                if session.outcomes.seqs[place]:
                    found.append((session.outcomes.seqs[place], self.row_at(session, place)))
        found.sort()
        return found

    def end(self, client_id):
        """The active session and its outcomes go; return the floor above all that it did.

        Raises:
            KeyError: it is not active.
        """
        cdef Session session = self.sessions[client_id]
        cdef uint64_t floor = max(session.floor, highest(&session.outcomes) + 1)
        self.drop_below(session, 0, floor)
        del self.sessions[client_id]
        self.unlink(session)
        return floor

    # ---- rows

    def dormant_changed(self, uint64_t client_id):
        """Note that the row of a session in `dormant` came, went or changed."""
        self.change(client_id, 0, False)

    def drain(self):
        """Return (client id, seq, row) of each row that changed since the last call, once.

        Seq 0 is that of `dormant`. None in place of a row: it is gone. One that came and went
        since the last call is left out.
        """
        cdef list drained = []
        cdef set seen = set()
        cdef Session session = None
        cdef uint64_t last_id = 0, seq
        cdef object client_id = 0, row
        cdef Py_ssize_t number, place
        for number in range(self.change_count):
            seq = self.changes[number].seq
            if self.changes[number].client_id != last_id:
                last_id = self.changes[number].client_id
                client_id = last_id
                session = self.find(client_id)
            place = -1
            if seq and session is not None:
                place = place_of(&session.outcomes, seq)
            if place < 0 and self.changes[number].is_new:
                continue
            if self.may_repeat:
                if (client_id, seq) in seen:
                    continue
                seen.add((client_id, seq))
            if place >= 0:
                session.outcomes.kept[place].is_new = False
                row = self.row_at(session, place)
            else:
                row = None if seq else self.dormant.get(client_id)
            drained.append((client_id, seq, row))
        self.clear_changes()
        return drained

    def clear_changes(self):
        """Whatever changed needs no row."""
        self.change_count = self.gone_count = 0
        self.may_repeat = False
        if self.change_capacity > CHANGES_KEPT:
            PyMem_Free(self.changes)
            self.changes = NULL
            self.change_capacity = 0

    def restore(
        self, client_id, uint64_t seq, uint64_t index, uint64_t at_ms, uint64_t floor, outcome
    ):
        """Take back a row, which `drain` does not tell again; any order, then `order_by_use`."""
        cdef Session session = self.find(client_id)
        if session is None:
            session = self.new_session(client_id)
        session.floor = max(session.floor, floor)
        session.at_ms = max(session.at_ms, at_ms)
        self.put(session, seq, index, at_ms, floor, outcome, False)

    def order_by_use(self):
        """Bring active sessions into the order of their last operations."""
        cdef Session session
        self.oldest = self.newest = NULL
        for session in sorted(self.sessions.values(), key=_last_index):
            self.link(session)

    # ---- inside

    cdef Session find(self, object client_id):
        return <Session>self.sessions.get(client_id)

    cdef Session new_session(self, uint64_t client_id):
        cdef Session session = Session.__new__(Session)
        session.client_id = client_id
        self.sessions[client_id] = session
        self.link(session)
        return session

    cdef void unlink(self, Session session) noexcept:
        if session.older != NULL:
            (<Session>session.older).newer = session.newer
        else:
            self.oldest = session.newer
        if session.newer != NULL:
            (<Session>session.newer).older = session.older
        else:
            self.newest = session.older

    cdef void link(self, Session session) noexcept:
        """As the one that was used last."""
        session.older = self.newest
        session.newer = NULL
        if self.newest != NULL:
            (<Session>self.newest).newer = <PyObject*>session
        else:
            self.oldest = <PyObject*>session
        self.newest = <PyObject*>session

    cdef int put(
        self, Session session, uint64_t seq, uint64_t index, uint64_t at_ms, uint64_t floor,
        object outcome, bint is_new
    ) except -1:
        cdef Kept* kept
        if seq == 0 or seq > SEQ_MAX or place_of(&session.outcomes, seq) >= 0:
            raise ValueError(f"seq {seq} of client {session.client_id:#x} cannot be new")
        if not make_room(&session.outcomes):
            raise MemoryError("no memory for outcomes")
        if is_new:
            self.change(session.client_id, seq, True)
        kept = insert(&session.outcomes, seq)
        kept.index = index
        kept.at_ms = at_ms
        kept.floor = floor
        kept.is_new = is_new
        Py_INCREF(outcome)
        kept.outcome = <PyObject*>outcome
        session.last_index = max(session.last_index, index)
        self.outcome_count += 1

    cdef int drop(self, Session session, uint64_t seq) except -1:
        """Let go of an outcome, if there is one."""
        cdef Py_ssize_t place = place_of(&session.outcomes, seq)
        cdef PyObject* outcome
        if place < 0:
            return 0
        if session.outcomes.kept[place].is_new:
            self.gone_count += 1
        else:
            self.change(session.client_id, seq, False)
        outcome = session.outcomes.kept[place].outcome
        remove(&session.outcomes, place)
        self.outcome_count -= 1
        Py_DECREF(<object>outcome)

    cdef int drop_below(self, Session session, uint64_t first, uint64_t floor) except -1:
        """Let go of all outcomes below *floor*, by seq; none is below *first*."""
        cdef uint64_t seq
        cdef uint64_t* seqs
        cdef uint32_t count = 0, at
        if session.outcomes.count == 0:
            return 0
        if floor - first <= session.outcomes.capacity:
            for seq in range(max(first, <uint64_t>1), floor):
                self.drop(session, seq)
            return 0
        seqs = <uint64_t*>PyMem_Malloc(session.outcomes.count * sizeof(uint64_t))
        if seqs == NULL:
            raise MemoryError("no memory for seqs")
        for at in range(session.outcomes.capacity):
            if session.outcomes.seqs[at] and session.outcomes.seqs[at] < floor:
                seqs[count] = session.outcomes.seqs[at]
                count += 1
        qsort(seqs, count, sizeof(uint64_t), in_order)
        try:
            for at in range(count):
                self.drop(session, seqs[at])
        finally:
            PyMem_Free(seqs)

    cdef int change(self, uint64_t client_id, uint64_t seq, bint is_new) except -1:
        """Note that a row changed. Without a session that ended none changes twice in this way:
        a seq comes and goes once.
        """
        if self.change_count == self.change_capacity:
            self.make_room_for_change()
        self.changes[self.change_count] = Change(client_id, seq, is_new)
        self.change_count += 1
        self.may_repeat = self.may_repeat or seq == 0

    cdef bint is_undrained(self, const Change* change):
        """Whether `drain` would tell of it; also for rows of sessions that ended and came back."""
        cdef Session session
        cdef Py_ssize_t place
        if not change.is_new:
            return True
        session = self.find(change.client_id)
        if session is None:
            return False
        place = place_of(&session.outcomes, change.seq)
        return place >= 0 and session.outcomes.kept[place].is_new

    cdef int make_room_for_change(self) except -1:
        """Forget what came and went, if that is half of all: what nobody drains stays bounded."""
        cdef Py_ssize_t number, kept = 0
        cdef Py_ssize_t capacity = max(<Py_ssize_t>CHANGES_MIN, 2 * self.change_capacity)
        cdef Change* changes
        if self.change_count and 2 * self.gone_count >= self.change_count:
            for number in range(self.change_count):
                if self.is_undrained(&self.changes[number]):
                    self.changes[kept] = self.changes[number]
                    kept += 1
            self.gone_count = 0
            self.change_count = kept
        if 2 * self.change_count < self.change_capacity:
            return 0
        changes = <Change*>PyMem_Realloc(self.changes, capacity * sizeof(Change))
        if changes == NULL:
            raise MemoryError(f"no memory for {capacity} changed rows of sessions")
        self.changes = changes
        self.change_capacity = capacity

    cdef object row_at(self, Session session, Py_ssize_t place):
        cdef Kept kept = session.outcomes.kept[place]
        return self.make_row(kept.index, kept.at_ms, kept.floor, <object>kept.outcome)


def _last_index(Session session):
    return session.last_index
