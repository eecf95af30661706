/* The compiled twins of what is done most; `edge_agent/native.py` says which, and who they are the twins of.
 *
 * Rules:
 *   1. Each read is checked against the end of the data, each write goes through `put`, which grows the buffer, or is
 *      made where `has_room` was asked first.
 *   2. The limited API of Python 3.11: one build for this and later versions.
 *   3. Bytes objects are immutable and held by the caller's arguments, so that a callback can't change what is read.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 64, FRAME = 12, HEADER = 5, ROW_HEADER = 7, SHOW = 0, NOTHING = 1, CALL = 2, PARTIAL = 3, REDACT = 4, SHOWN_END = 4, LONG = 8 };

typedef struct {
    unsigned char *bytes;
    size_t size, room;
} Out;

static uint32_t word(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
}

static void put_word(unsigned char *at, uint32_t value) {
    at[0] = (unsigned char)(value >> 24);
    at[1] = (unsigned char)(value >> 16);
    at[2] = (unsigned char)(value >> 8);
    at[3] = (unsigned char)value;
}

static int grow(Out *out, size_t size) {
    if (size > (size_t)PY_SSIZE_T_MAX / 4 - out->size) {
        PyErr_NoMemory();
        return -1;
    }
    size_t room = (out->size + size) * 2;
    unsigned char *grown = PyMem_Malloc(room);
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(grown, out->bytes, out->size);
    PyMem_Free(out->bytes);
    out->bytes = grown;
    out->room = room;
    return 0;
}

static inline int put(Out *out, const unsigned char *bytes, size_t size) {
    if (size > out->room - out->size && grow(out, size) != 0) {
        return -1;
    }
    memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
    return 0;
}

/* `edge_agent.mask.forms.partial` of what needs no decoding. 1: done; 0: not such a value; -1: an exception. */
static int put_partial(Out *out, const unsigned char *value, size_t size) {
    static const unsigned char redacted[3] = {'*', '*', '*'};
    size_t at = size;
    while (at > 0 && value[at - 1] != '@') {
        at--;
    }
    if (at > 1 && at < size) {
        if (value[0] >= 0x80) {
            return 0;
        }
        return put(out, value, 1) || put(out, redacted, 3) || put(out, value + at - 1, size - at + 1) ? -1 : 1;
    }
    for (size_t each = 0; each < size; each++) {
        if (value[each] >= 0x80) {
            return 0;
        }
    }
    size_t shown = size >= LONG ? SHOWN_END : 0;
    return put(out, redacted, 3) || put(out, value + size - shown, shown) ? -1 : 1;
}

/* What `mask(column, value)` says. 1: done; 0: NULL, which is None; -1: an exception. */
static int put_called(Out *out, PyObject *mask, Py_ssize_t column, const unsigned char *value, size_t size) {
    PyObject *shown = PyObject_CallFunction(mask, "ny#", column, (const char *)value, (Py_ssize_t)size);
    if (shown == NULL) {
        return -1;
    }
    char *bytes = NULL;
    Py_ssize_t count = 0;
    int done = -1;
    if (shown == Py_None) {
        done = 0;
    } else if (PyBytes_AsStringAndSize(shown, &bytes, &count) == 0) {
        done = put(out, (const unsigned char *)bytes, (size_t)count) == 0 ? 1 : -1;
    }
    Py_DECREF(shown);
    return done;
}

/* What is shown instead of one value, without a length. 1: done; 0: NULL; -1: an exception. */
static int put_shown(Out *out, int way, PyObject *mask, Py_ssize_t column, const unsigned char *value, size_t size) {
    int done;
    if (way == NOTHING) {
        return 0;
    }
    if (way == REDACT) {
        return put(out, (const unsigned char *)"***", 3) == 0 ? 1 : -1;
    }
    if (way == PARTIAL && (done = put_partial(out, value, size)) != 0) {
        return done;
    }
    return put_called(out, mask, column, value, size);
}

/* The same behind its length word, as in a DataRow. */
static int put_value(Out *out, int way, PyObject *mask, Py_ssize_t column, const unsigned char *value, size_t size) {
    static const unsigned char nothing[4] = {0xff, 0xff, 0xff, 0xff};
    size_t start = out->size;
    int done = put(out, nothing, 4) == 0 ? put_shown(out, way, mask, column, value, size) : -1;
    if (done <= 0) {
        return done;
    }
    size_t count = out->size - start - 4;
    if (count > INT32_MAX) {
        PyErr_NoMemory();
        return -1;
    }
    put_word(out->bytes + start, (uint32_t)count);
    return 0;
}

/* The length of a message that began at `start` and is whole now. */
static int set_length(Out *out, size_t start) {
    if (out->size - start - 1 > UINT32_MAX) {
        PyErr_NoMemory();
        return -1;
    }
    put_word(out->bytes + start + 1, (uint32_t)(out->size - start - 1));
    return 0;
}

/* One DataRow, which begins at `data` and may take up `size` bytes. Its length; 0: it is none; -1: an exception. */
static Py_ssize_t put_row(
    Out *out, const unsigned char *data, size_t size, const unsigned char *ways, size_t width, PyObject *mask
) {
    static const unsigned char head[ROW_HEADER] = {'D'};
    if (size < ROW_HEADER || data[0] != 'D' || ((size_t)data[5] << 8 | data[6]) != width) {
        return 0;
    }
    uint64_t length = word(data + 1);
    if (length + 1 > size || length + 1 < ROW_HEADER) {
        return 0;
    }
    size_t end = (size_t)length + 1, at = ROW_HEADER, run = at, start = out->size;
    if (put(out, head, ROW_HEADER) != 0) {
        return -1;
    }
    for (size_t column = 0; column < width; column++) {
        if (end - at < 4) {
            return 0;
        }
        size_t begin = at;
        uint32_t count = word(data + at);
        at += 4;
        if (count > INT32_MAX) {
            continue;
        }
        if (count > end - at) {
            return 0;
        }
        at += count;
        if (ways[column] == SHOW) {
            continue;
        }
        if (put(out, data + run, begin - run) != 0 ||
            put_value(out, ways[column], mask, (Py_ssize_t)column, data + begin + 4, count) != 0) {
            return -1;
        }
        run = at;
    }
    if (at != end) {
        return 0;
    }
    if (put(out, data + run, end - run) != 0) {
        return -1;
    }
    if (set_length(out, start) != 0) {
        return -1;
    }
    out->bytes[start + 5] = data[5];
    out->bytes[start + 6] = data[6];
    return (Py_ssize_t)end;
}

/* Whether a field of COPY's text format is spelled as it is, and what the other twin makes of it would be too. */
static int is_plain(const unsigned char *value, size_t size) {
    for (size_t at = 0; at < size; at++) {
        if (value[at] < ' ' || value[at] == '\\') {
            return 0;
        }
    }
    return 1;
}

/* One CopyData that is a row of the text format; see `put_row`. */
static Py_ssize_t put_copied(
    Out *out, const unsigned char *data, size_t size, const unsigned char *ways, size_t width, PyObject *spell
) {
    static const unsigned char head[HEADER] = {'d'};
    if (size <= HEADER || data[0] != 'd') {
        return 0;
    }
    uint64_t length = word(data + 1);
    if (length + 1 > size || length + 1 <= HEADER || data[length] != '\n') {
        return 0;
    }
    size_t last = (size_t)length, at = HEADER, run = width > 0 ? at : last, start = out->size;
    if (put(out, head, HEADER) != 0) {
        return -1;
    }
    for (size_t column = 0; column < width; column++) {
        const unsigned char *value = data + at, *tab = memchr(value, '\t', last - at);
        if ((tab == NULL) != (column + 1 == width)) {
            return 0;
        }
        size_t count = tab == NULL ? last - at : (size_t)(tab - value);
        if (ways[column] != SHOW && !(count == 2 && value[0] == '\\' && value[1] == 'N')) {
            int way = ways[column] == NOTHING || is_plain(value, count) ? ways[column] : CALL;
            if (put(out, data + run, at - run) != 0) {
                return -1;
            }
            int shown = put_shown(out, way, spell, (Py_ssize_t)column, value, count);
            if (shown < 0 || (shown == 0 && put(out, (const unsigned char *)"\\N", 2) != 0)) {
                return -1;
            }
            run = at + count;
        }
        at += count + 1;
    }
    if (put(out, data + run, last + 1 - run) != 0 || set_length(out, start) != 0) {
        return -1;
    }
    return (Py_ssize_t)(last + 1);
}

/* Where a field of CSV ends that begins at `at`, at its stop; `size` where it is none. `quotes`: how many are in it. */
static size_t csv_end(const unsigned char *row, size_t at, size_t size, size_t *quotes) {
    size_t begin = at;
    *quotes = 0;
    if (at < size && row[at] == '"') {
        for (at++, *quotes = 1; at < size; at++) {
            if (row[at] != '"') {
                continue;
            }
            ++*quotes;
            if (at + 1 >= size || row[at + 1] != '"') {
                return at + 1;
            }
            ++*quotes;
            at++;
        }
        return size;
    }
    for (at = begin; at < size && row[at] != ',' && row[at] != '\n'; at++) {
        if (row[at] == '"' || row[at] == '\r') {
            return size;
        }
    }
    return at;
}

/* What is shown instead of one field of CSV that is not NULL. */
static int put_csv_field(
    Out *out, int way, PyObject *spell, Py_ssize_t column, const unsigned char *field, size_t size, size_t quotes
) {
    if (way == NOTHING) {
        return 0;
    }
    if (way == CALL || quotes > 2) {
        return put_called(out, spell, column, field, size) < 0 ? -1 : 0;
    }
    const unsigned char *value = quotes ? field + 1 : field;
    size_t count = quotes ? size - 2 : size, start = out->size;
    if (put(out, (const unsigned char *)"\"", 1) != 0) {
        return -1;
    }
    int done = way == PARTIAL ? put_partial(out, value, count) : put(out, (const unsigned char *)"***", 3) == 0 ? 1 : -1;
    if (done < 0) {
        return -1;
    }
    if (done == 0) {
        out->size = start;
        return put_called(out, spell, column, field, size) < 0 ? -1 : 0;
    }
    if (out->size - start - 1 == count && memcmp(out->bytes + start + 1, value, count) == 0) {
        out->size = start;
        return put(out, field, size);
    }
    return put(out, (const unsigned char *)"\"", 1);
}

/* One CopyData that is a row of CSV; see `put_row`. */
static Py_ssize_t put_csv(
    Out *out, const unsigned char *data, size_t size, const unsigned char *ways, size_t width, PyObject *spell
) {
    static const unsigned char head[HEADER] = {'d'};
    if (size < HEADER || data[0] != 'd') {
        return 0;
    }
    uint64_t length = word(data + 1);
    if (length + 1 > size || length + 1 < HEADER) {
        return 0;
    }
    size_t end = (size_t)length + 1, at = HEADER, run = at, start = out->size;
    if (put(out, head, HEADER) != 0) {
        return -1;
    }
    for (size_t column = 0; column < width; column++) {
        size_t quotes, stop = csv_end(data, at, end, &quotes);
        if (stop >= end || data[stop] != (column + 1 == width ? '\n' : ',')) {
            return 0;
        }
        if (ways[column] != SHOW && stop > at) {
            if (put(out, data + run, at - run) != 0 ||
                put_csv_field(out, ways[column], spell, (Py_ssize_t)column, data + at, stop - at, quotes) != 0) {
                return -1;
            }
            run = stop;
        }
        at = stop + 1;
    }
    if (at != end) {
        return 0;
    }
    return put(out, data + run, end - run) != 0 || set_length(out, start) != 0 ? -1 : (Py_ssize_t)end;
}

typedef Py_ssize_t Rewriter(Out *, const unsigned char *, size_t, const unsigned char *, size_t, PyObject *);

/* All messages: `rewrite` one after the other. */
static PyObject *rewritten(PyObject *args, Rewriter *rewrite) {
    const char *data, *ways;
    Py_ssize_t size, width;
    PyObject *mask, *unreadable;
    if (!PyArg_ParseTuple(args, "y#y#OO", &data, &size, &ways, &width, &mask, &unreadable)) {
        return NULL;
    }
    Out out = {NULL, 0, (size_t)size + 64};
    out.bytes = PyMem_Malloc(out.room);
    if (out.bytes == NULL) {
        return PyErr_NoMemory();
    }
    Py_ssize_t took = 1;
    for (Py_ssize_t at = 0; at < size && took > 0; at += took) {
        took = rewrite(
            &out, (const unsigned char *)data + at, (size_t)(size - at), (const unsigned char *)ways, (size_t)width, mask
        );
    }
    PyObject *done = NULL;
    if (took == 0) {
        PyErr_SetNone(unreadable);
    } else if (took > 0) {
        done = PyBytes_FromStringAndSize((const char *)out.bytes, (Py_ssize_t)out.size);
    }
    PyMem_Free(out.bytes);
    return done;
}

static PyObject *mask_rows(PyObject *module, PyObject *args) {
    (void)module;
    return rewritten(args, put_row);
}

static PyObject *mask_copied(PyObject *module, PyObject *args) {
    (void)module;
    return rewritten(args, put_copied);
}

static PyObject *mask_csv(PyObject *module, PyObject *args) {
    (void)module;
    return rewritten(args, put_csv);
}

static PyObject *run_end(PyObject *module, PyObject *args) {
    (void)module;
    const char *data;
    Py_ssize_t size, at;
    int kind;
    unsigned int most;
    if (!PyArg_ParseTuple(args, "y#niI", &data, &size, &at, &kind, &most)) {
        return NULL;
    }
    const unsigned char *bytes = (const unsigned char *)data;
    while (at >= 0 && size - at >= HEADER && bytes[at] == kind) {
        uint32_t length = word(bytes + at + 1);
        if (length < 4 || length > most || (uint64_t)length + 1 > (uint64_t)(size - at)) {
            break;
        }
        at += (Py_ssize_t)length + 1;
    }
    return PyLong_FromSsize_t(at);
}

static PyObject *group(PyObject *module, PyObject *args) {
    (void)module;
    static const char described[] = "D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04";
    const size_t whole = sizeof described - 1, execute = whole - 7;
    const char *data;
    Py_ssize_t count, begin;
    unsigned int most;
    if (!PyArg_ParseTuple(args, "y#nI", &data, &count, &begin, &most)) {
        return NULL;
    }
    const unsigned char *bytes = (const unsigned char *)data;
    size_t size = (size_t)count, start = (size_t)begin;
    if (begin < 0 || start > size || size - start < HEADER + 2 || bytes[start] != 'B') {
        return Py_NewRef(Py_None);
    }
    uint32_t length = word(bytes + start + 1);
    if (length > most || bytes[start + HEADER] != 0 || (uint64_t)length + 1 > size - start) {
        return Py_NewRef(Py_None);
    }
    size_t end = start + 1 + length, rest = size - end;
    if ((rest != whole && rest != execute) || memcmp(bytes + end, described + whole - rest, rest) != 0) {
        return Py_NewRef(Py_None);
    }
    size_t name = start + HEADER + 1;
    const unsigned char *name_end = end > name ? memchr(bytes + name, 0, end - name) : NULL;
    if (name_end == NULL) {
        return Py_NewRef(Py_None);
    }
    return Py_BuildValue("y#nO", data + name, (Py_ssize_t)(name_end - bytes - name), (Py_ssize_t)end,
                         rest == whole ? Py_True : Py_False);
}

static PyObject *complete(PyObject *module, PyObject *args) {
    (void)module;
    const char *data;
    Py_ssize_t size, begin, stop;
    int described, no_data;
    unsigned int most_row, most_description, most_complete;
    if (!PyArg_ParseTuple(args, "y#nnpp(III)", &data, &size, &begin, &stop, &described, &no_data, &most_row,
                          &most_description, &most_complete)) {
        return NULL;
    }
    if (begin < 0 || begin >= stop || stop > size || size - stop < HEADER) {
        return Py_NewRef(Py_None);
    }
    const unsigned char *bytes = (const unsigned char *)data;
    size_t at = (size_t)begin, end = (size_t)stop;
    if (described) {
        uint32_t length = word(bytes + at + 1);
        if (!(bytes[at] == 'T' && length >= 4 && length <= most_description) &&
            !(no_data && bytes[at] == 'n' && length == 4)) {
            return Py_NewRef(Py_None);
        }
        at += 1 + (size_t)length;
        if (at >= end) {
            return Py_NewRef(Py_None);
        }
    }
    while (bytes[at] == 'D') {
        uint32_t length = word(bytes + at + 1);
        at += 1 + (size_t)length;
        if (length < 4 || length > most_row || at >= end) {
            return Py_NewRef(Py_None);
        }
    }
    uint32_t length = word(bytes + at + 1);
    if (bytes[at] != 'C' || length < 4 || length > most_complete || at + 1 + length > end) {
        return Py_NewRef(Py_None);
    }
    return Py_BuildValue("nn", (Py_ssize_t)at, (Py_ssize_t)(at + 1 + length));
}

/* Writes into a part of a mapped file; nothing is written past its end. */
typedef struct {
    Py_buffer view;
    size_t at, start;
} Room;

static void add(Room *room, const void *bytes, size_t size) {
    memcpy((unsigned char *)room->view.buf + room->at, bytes, size);
    room->at += size;
}

/* Decimal digits of a number into 20 bytes; how many they are. */
static size_t put_decimal(char *digits, uint64_t number) {
    char turned[20];
    size_t count = 0;
    do {
        turned[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (size_t at = 0; at < count; at++) {
        digits[at] = turned[count - 1 - at];
    }
    return count;
}

/* `digest(data).hexdigest()`, 64 ASCII digits. A new reference; NULL: an exception. */
static PyObject *hex_digest(PyObject *digest, const char *data, size_t size, const char **digits) {
    PyObject *hash = PyObject_CallFunction(digest, "y#", data, (Py_ssize_t)size);
    PyObject *text = hash == NULL ? NULL : PyObject_CallMethod(hash, "hexdigest", NULL);
    Py_ssize_t count = 0;
    Py_XDECREF(hash);
    *digits = text == NULL ? NULL : PyUnicode_AsUTF8AndSize(text, &count);
    if (*digits != NULL && count != DIGITS) {
        PyErr_SetString(PyExc_ValueError, "a digest has another length");
        *digits = NULL;
    }
    if (*digits == NULL) {
        Py_XDECREF(text);
        return NULL;
    }
    return text;
}

static char *laid(char *at, const void *bytes, size_t size) {
    memcpy(at, bytes, size);
    return at + size;
}

/* A record's line, with the chain before it: `before`, a newline, the canonical line. Its bytes are the caller's. */
static char *spell_line(PyObject *pieces, const char *before, const char *body, uint64_t sequence, const char *time,
                        size_t time_size, size_t *size) {
    const char *piece[4];
    Py_ssize_t count[4];
    size_t whole = DIGITS + 1 + DIGITS + 20 + time_size;
    if (!PyTuple_Check(pieces) || PyTuple_Size(pieces) != 4) {
        PyErr_SetString(PyExc_TypeError, "a line has four pieces");
        return NULL;
    }
    for (int each = 0; each < 4; each++) {
        char *bytes;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(pieces, each), &bytes, &count[each]) != 0) {
            return NULL;
        }
        piece[each] = bytes;
        whole += (size_t)count[each];
    }
    char *line = PyMem_Malloc(whole), *at = line;
    if (line == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    at = laid(at, before, DIGITS);
    at = laid(at, "\n", 1);
    at = laid(at, piece[0], (size_t)count[0]);
    at = laid(at, body, DIGITS);
    at = laid(at, piece[1], (size_t)count[1]);
    at += put_decimal(at, sequence);
    at = laid(at, piece[2], (size_t)count[2]);
    at = laid(at, time, time_size);
    at = laid(at, piece[3], (size_t)count[3]);
    *size = (size_t)(at - line);
    return line;
}

/* The frame of a body, then the line: a process that dies in between leaves a body without a line, which is cut off. */
static void put_record(Room *bodies, Room *lines, uint64_t sequence, const char *cipher, size_t cipher_size,
                       const char *first, size_t first_size, const char *hashed, const char *line, size_t line_size) {
    unsigned char frame[FRAME];
    put_word(frame, (uint32_t)(sequence >> 32));
    put_word(frame + 4, (uint32_t)sequence);
    put_word(frame + 8, (uint32_t)cipher_size);
    add(bodies, frame, FRAME);
    add(bodies, cipher, cipher_size);
    atomic_signal_fence(memory_order_seq_cst);
    add(lines, first, first_size);
    add(lines, hashed, DIGITS);
    add(lines, " ", 1);
    add(lines, line, line_size);
    add(lines, "\n", 1);
}

static int has_room(const Room *room, size_t size) {
    size_t whole = (size_t)room->view.len;
    return room->at <= whole && size <= whole - room->at;
}

/* One record from its cipher on. The new hash, and how much was written of both files; None where there is no room. */
static PyObject *put_chained(PyObject *digest, PyObject *pieces, const char *cipher, size_t cipher_size,
                             unsigned long long sequence, const char *time, size_t time_size, const char *before,
                             const char *first, size_t first_size, Room *bodies, Room *lines) {
    const char *digits;
    PyObject *body = hex_digest(digest, cipher, cipher_size, &digits), *done = NULL;
    size_t size = 0;
    char *line = body == NULL ? NULL : spell_line(pieces, before, digits, sequence, time, time_size, &size);
    PyObject *hash = line == NULL ? NULL : hex_digest(digest, line, size, &digits);
    if (hash != NULL) {
        size_t line_size = size - DIGITS - 1;
        if (has_room(bodies, FRAME + cipher_size) && has_room(lines, first_size + DIGITS + 2 + line_size)) {
            put_record(bodies, lines, sequence, cipher, cipher_size, first, first_size, digits, line + DIGITS + 1,
                       line_size);
            done = Py_BuildValue("y#nn", digits, (Py_ssize_t)DIGITS, (Py_ssize_t)(bodies->at - bodies->start),
                                 (Py_ssize_t)(lines->at - lines->start));
        } else {
            done = Py_NewRef(Py_None);
        }
    }
    PyMem_Free(line);
    Py_XDECREF(body);
    Py_XDECREF(hash);
    return done;
}

static PyObject *chain_record(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *digest, *pieces, *body_file, *line_file, *done = NULL;
    const char *cipher, *time, *before, *first;
    Py_ssize_t cipher_size, time_size, before_size, first_size, body_at, line_at;
    unsigned long long sequence;
    if (!PyArg_ParseTuple(args, "OO!y#Ks#y#y#OnOn", &digest, &PyTuple_Type, &pieces, &cipher, &cipher_size, &sequence,
                          &time, &time_size, &before, &before_size, &first, &first_size, &body_file, &body_at,
                          &line_file, &line_at)) {
        return NULL;
    }
    if (before_size != DIGITS || cipher_size <= 0 || cipher_size > UINT32_MAX || body_at < 0 || line_at < 0) {
        PyErr_SetString(PyExc_ValueError, "no such record can be chained");
        return NULL;
    }
    Room bodies = {.at = (size_t)body_at, .start = (size_t)body_at};
    Room lines = {.at = (size_t)line_at, .start = (size_t)line_at};
    if (PyObject_GetBuffer(body_file, &bodies.view, PyBUF_WRITABLE) != 0) {
        return NULL;
    }
    if (PyObject_GetBuffer(line_file, &lines.view, PyBUF_WRITABLE) == 0) {
        done = put_chained(digest, pieces, cipher, (size_t)cipher_size, sequence, time, (size_t)time_size, before,
                           first, (size_t)first_size, &bodies, &lines);
        PyBuffer_Release(&lines.view);
    }
    PyBuffer_Release(&bodies.view);
    return done;
}

static PyMethodDef methods[] = {
    {"group", group, METH_VARARGS, "See edge_agent.protocols.postgres.plain.group_purely."},
    {"complete", complete, METH_VARARGS, "See edge_agent.protocols.postgres.plain.complete_purely."},
    {"chain_record", chain_record, METH_VARARGS, "See edge_agent.recorder.open_segment.OpenSegment.write_line."},
    {"mask_rows", mask_rows, METH_VARARGS, "See edge_agent.mask.rows.mask_rows."},
    {"mask_copied", mask_copied, METH_VARARGS, "See edge_agent.mask.copied_rows.mask_copied."},
    {"mask_csv", mask_csv, METH_VARARGS, "The same for CSV."},
    {"run_end", run_end, METH_VARARGS, "See edge_agent.protocols.postgres.framing.run_end."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "edge_agent._native", .m_size = 0, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__native(void) {
    const char *pure = getenv("TWOKEYS_PURE");
    if (pure != NULL && pure[0] != '\0') {
        PyErr_SetString(PyExc_ImportError, "TWOKEYS_PURE is set");
        return NULL;
    }
    return PyModule_Create(&definition);
}
