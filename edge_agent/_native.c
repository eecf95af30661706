/* The compiled twins of four loops over bytes; `edge_agent/native.py` says which, and who they are the twins of.
 *
 * Rules:
 *   1. Each read is checked against the end of the data, each write goes through `put`, which grows the buffer.
 *   2. The limited API of Python 3.11: one build for this and later versions.
 *   3. Bytes objects are immutable and held by the caller's arguments, so that a callback can't change what is read.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 5, ROW_HEADER = 7, SHOW = 0, NOTHING = 1, CALL = 2, PARTIAL = 3, REDACT = 4, SHOWN_END = 4, LONG = 8 };

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

static PyMethodDef methods[] = {
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
