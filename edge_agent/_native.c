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
#include <time.h>

enum { HEADER = 5, ROW_HEADER = 7, SHOW = 0, NOTHING = 1, CALL = 2, PARTIAL = 3, REDACT = 4, SHOWN_END = 4, LONG = 8 };

/* Of a record: a hash's digits, a frame's header, AES-GCM's nonce and tag, a moment's characters; and a buffer's bytes. */
enum { DIGITS = 64, FRAME = 12, NONCE = 12, TAG = 16, TIME = 24, SMALL = 4096 };

#define LAST_MOMENT INT64_C(253402300799999) /* Milliseconds: the last that has four digits of a year. */

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

/* A part of a mapped file, held while the chain is open; nothing is written past its end. */
typedef struct {
    Py_buffer view;
    size_t at, start;
} Room;

static void add(Room *room, const void *bytes, size_t size) {
    memcpy((unsigned char *)room->view.buf + room->at, bytes, size);
    room->at += size;
}

static int has_room(const Room *room, size_t size) {
    size_t whole = (size_t)room->view.len;
    return room->at <= whole && size <= whole - room->at;
}

/* See edge_agent.recorder.chain.ChainPurely. */
typedef struct {
    PyObject_HEAD
    PyObject *digest;
    uint64_t sequence;
    char hash[DIGITS];
    int is_open, is_busy;
    Room bodies, lines;
    uint64_t left, most_body;
    double until;
    int64_t second;
    char time[TIME + 1];
} Chain;

/* What one record is made of; bytes of the caller's arguments. */
typedef struct {
    const char *pieces[4], *text, *bind, *place;
    size_t piece_sizes[4], text_size, bind_size, place_size, plain_size;
    uint64_t count;
} Given;

static char *laid(char *at, const void *bytes, size_t size) {
    memcpy(at, bytes, size);
    return at + size;
}

/* Decimal digits of a number, at most 20; where they end. */
static char *laid_decimal(char *at, uint64_t number) {
    char turned[20];
    size_t count = 0;
    do {
        turned[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (count > 0) {
        *at++ = turned[--count];
    }
    return at;
}

/* Base64 (RFC 4648 section 4); where it ends. */
static char *laid_base64(char *at, const char *bytes, size_t size) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = (const unsigned char *)bytes;
    for (; size >= 3; size -= 3, from += 3) {
        uint32_t three = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
        *at++ = alphabet[three >> 18];
        *at++ = alphabet[three >> 12 & 63];
        *at++ = alphabet[three >> 6 & 63];
        *at++ = alphabet[three & 63];
    }
    if (size > 0) {
        uint32_t three = (uint32_t)from[0] << 16 | (size == 2 ? (uint32_t)from[1] << 8 : 0);
        *at++ = alphabet[three >> 18];
        *at++ = alphabet[three >> 12 & 63];
        *at++ = size == 2 ? alphabet[three >> 6 & 63] : '=';
        *at++ = '=';
    }
    return at;
}

/* The moment as `2026-11-22T20:00:00.000Z` into `chain->time`. */
static int spell_time(Chain *chain, int64_t milliseconds) {
    int64_t second = milliseconds / 1000;
    int rest = (int)(milliseconds % 1000);
    if (second != chain->second) {
        time_t moment = (time_t)second;
        struct tm parts;
        chain->second = -1;
        if (gmtime_r(&moment, &parts) == NULL ||
            strftime(chain->time, sizeof chain->time, "%Y-%m-%dT%H:%M:%S.", &parts) != TIME - 4) {
            PyErr_SetString(PyExc_ValueError, "no such moment can be spelled");
            return -1;
        }
        chain->second = second;
    }
    char *at = chain->time + TIME - 4;
    at[0] = (char)('0' + rest / 100);
    at[1] = (char)('0' + rest / 10 % 10);
    at[2] = (char)('0' + rest % 10);
    at[3] = 'Z';
    return 0;
}

/* `digest(data).hexdigest()`, 64 ASCII digits. A new reference; NULL: an exception. */
static PyObject *hex_digest(PyObject *digest, const char *data, size_t size, const char **digits) {
    PyObject *bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    PyObject *hash = bytes == NULL ? NULL : PyObject_CallFunctionObjArgs(digest, bytes, NULL);
    PyObject *text = hash == NULL ? NULL : PyObject_CallMethod(hash, "hexdigest", NULL);
    Py_ssize_t count = 0;
    Py_XDECREF(bytes);
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

/* Nonce and ciphertext of the body. A new reference to the ciphertext; NULL: an exception. */
static PyObject *enciphered(const Given *given, PyObject *encrypt, uint64_t sequence, char *nonce) {
    PyObject *plain = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)given->plain_size);
    PyObject *place = NULL, *number = NULL, *cipher = NULL;
    if (plain != NULL) {
        char *at = laid(PyBytes_AsString(plain), given->text, given->text_size);
        if (given->bind != NULL) {
            laid(laid_base64(at, given->bind, given->bind_size), "\"}", 2);
        }
        memset(nonce, 0, NONCE - 8);
        put_word((unsigned char *)nonce + NONCE - 8, (uint32_t)(given->count >> 32));
        put_word((unsigned char *)nonce + NONCE - 4, (uint32_t)given->count);
        number = PyBytes_FromStringAndSize(nonce, NONCE);
        char digits[20];
        size_t size = (size_t)(laid_decimal(digits, sequence) - digits);
        place = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(given->place_size + size));
        if (place != NULL) {
            laid(laid(PyBytes_AsString(place), given->place, given->place_size), digits, size);
        }
    }
    if (number != NULL && place != NULL) {
        cipher = PyObject_CallFunctionObjArgs(encrypt, number, plain, place, NULL);
    }
    Py_XDECREF(plain);
    Py_XDECREF(number);
    Py_XDECREF(place);
    if (cipher != NULL && (!PyBytes_Check(cipher) || PyBytes_Size(cipher) != (Py_ssize_t)(given->plain_size + TAG))) {
        PyErr_SetString(PyExc_ValueError, "a cipher has another length");
        Py_CLEAR(cipher);
    }
    return cipher;
}

/* The frame of a body, then the line: a process that dies in between leaves a body without a line, which is cut off.
 * `line` begins with the chain's hash before it and a newline, which are not written.
 */
static void put_record(Chain *chain, const char *body, size_t body_size, const char *hashed, const char *line,
                       size_t line_size) {
    unsigned char frame[FRAME];
    uint64_t sequence = chain->sequence + 1;
    put_word(frame, (uint32_t)(sequence >> 32));
    put_word(frame + 4, (uint32_t)sequence);
    put_word(frame + 8, (uint32_t)body_size);
    add(&chain->bodies, frame, FRAME);
    add(&chain->bodies, body, body_size);
    atomic_signal_fence(memory_order_seq_cst);
    add(&chain->lines, hashed, DIGITS);
    add(&chain->lines, " ", 1);
    add(&chain->lines, line + DIGITS + 1, line_size - DIGITS - 1);
    add(&chain->lines, "\n", 1);
}

/* `work` has room for nonce and ciphertext, and behind them for the line with the hash before it. */
static int put_whole(Chain *chain, const Given *given, PyObject *encrypt, char *work) {
    uint64_t sequence = chain->sequence + 1;
    PyObject *cipher = enciphered(given, encrypt, sequence, work), *body = NULL, *hash = NULL;
    const char *digits;
    size_t body_size = NONCE + given->plain_size + TAG;
    if (cipher != NULL) {
        laid(work + NONCE, PyBytes_AsString(cipher), given->plain_size + TAG);
        body = hex_digest(chain->digest, work, body_size, &digits);
    }
    if (body != NULL) {
        char *line = work + body_size;
        char *at = laid(laid(line, chain->hash, DIGITS), "\n", 1);
        at = laid(laid(at, given->pieces[0], given->piece_sizes[0]), digits, DIGITS);
        at = laid_decimal(laid(at, given->pieces[1], given->piece_sizes[1]), sequence);
        at = laid(laid(at, given->pieces[2], given->piece_sizes[2]), chain->time, TIME);
        at = laid(at, given->pieces[3], given->piece_sizes[3]);
        size_t line_size = (size_t)(at - line);
        hash = hex_digest(chain->digest, line, line_size, &digits);
        if (hash != NULL) {
            put_record(chain, work, body_size, digits, line, line_size);
            memcpy(chain->hash, digits, DIGITS);
            chain->sequence = sequence;
            chain->left -= FRAME + body_size + line_size + 1;
        }
    }
    Py_XDECREF(cipher);
    Py_XDECREF(body);
    Py_XDECREF(hash);
    return hash == NULL ? -1 : 0;
}

static int bytes_of(PyObject *value, const char **bytes, size_t *size) {
    char *found;
    Py_ssize_t count;
    if (PyBytes_AsStringAndSize(value, &found, &count) != 0) {
        return -1;
    }
    *bytes = found;
    *size = (size_t)count;
    return 0;
}

static int read_given(PyObject *const *args, Given *given) {
    if (!PyTuple_Check(args[0]) || PyTuple_Size(args[0]) != 4) {
        PyErr_SetString(PyExc_ValueError, "a line has four pieces");
        return -1;
    }
    for (int each = 0; each < 4; each++) {
        PyObject *piece = PyTuple_GetItem(args[0], each);
        if (bytes_of(piece, &given->pieces[each], &given->piece_sizes[each]) != 0) {
            return -1;
        }
    }
    if (bytes_of(args[2], &given->place, &given->place_size) != 0 ||
        bytes_of(args[4], &given->text, &given->text_size) != 0 ||
        (args[5] != Py_None && bytes_of(args[5], &given->bind, &given->bind_size) != 0)) {
        return -1;
    }
    given->plain_size = given->text_size + (given->bind == NULL ? 0 : (given->bind_size + 2) / 3 * 4 + 2);
    given->count = PyLong_AsUnsignedLongLong(args[3]);
    return PyErr_Occurred() == NULL ? 0 : -1;
}

static PyObject *chain_append(Chain *chain, PyObject *const *args, Py_ssize_t count) {
    Given given = {0};
    if (count != 8) {
        PyErr_SetString(PyExc_TypeError, "append takes eight arguments");
        return NULL;
    }
    if (!chain->is_open || chain->is_busy) {
        return Py_NewRef(Py_False);
    }
    long long milliseconds = PyLong_AsLongLong(args[6]);
    double now = PyFloat_AsDouble(args[7]);
    if (PyErr_Occurred() != NULL || read_given(args, &given) != 0) {
        return NULL;
    }
    size_t body = FRAME + NONCE + given.plain_size + TAG, line = 2 * DIGITS + 3 + 20 + TIME;
    for (int each = 0; each < 4; each++) {
        line += given.piece_sizes[each];
    }
    if (!(now < chain->until) || milliseconds < 0 || milliseconds > LAST_MOMENT || given.plain_size > chain->most_body || body + line > chain->left ||
        !has_room(&chain->bodies, body) || !has_room(&chain->lines, line)) {
        return Py_NewRef(Py_False);
    }
    if (spell_time(chain, milliseconds) != 0) {
        return NULL;
    }
    char small[SMALL], *work = body + line + DIGITS <= SMALL ? small : PyMem_Malloc(body + line + DIGITS);
    if (work == NULL) {
        return PyErr_NoMemory();
    }
    chain->is_busy = 1;
    int failed = put_whole(chain, &given, args[1], work);
    chain->is_busy = 0;
    if (work != small) {
        PyMem_Free(work);
    }
    return failed ? NULL : Py_NewRef(Py_True);
}

static PyObject *chain_shut(Chain *chain, PyObject *nothing) {
    (void)nothing;
    size_t bodies = 0, lines = 0;
    if (chain->is_busy) {
        PyErr_SetString(PyExc_ValueError, "the chain is being appended to");
        return NULL;
    }
    if (chain->is_open) {
        bodies = chain->bodies.at - chain->bodies.start;
        lines = chain->lines.at - chain->lines.start;
        chain->is_open = 0;
        PyBuffer_Release(&chain->bodies.view);
        PyBuffer_Release(&chain->lines.view);
    }
    return Py_BuildValue("nn", (Py_ssize_t)bodies, (Py_ssize_t)lines);
}

static PyObject *chain_open(Chain *chain, PyObject *args) {
    PyObject *bodies, *lines;
    Py_ssize_t body_at, line_at;
    long long left, most_body;
    double until;
    if (!PyArg_ParseTuple(args, "OnOnLdL", &bodies, &body_at, &lines, &line_at, &left, &until, &most_body)) {
        return NULL;
    }
    if (chain->digest == NULL || chain->is_open || body_at < 0 || line_at < 0 || left < 0 || most_body < 0 ||
        most_body > UINT32_MAX - FRAME - NONCE - TAG) {
        PyErr_SetString(PyExc_ValueError, "no such chain can be opened");
        return NULL;
    }
    if (PyObject_GetBuffer(bodies, &chain->bodies.view, PyBUF_WRITABLE) != 0) {
        return NULL;
    }
    if (PyObject_GetBuffer(lines, &chain->lines.view, PyBUF_WRITABLE) != 0) {
        PyBuffer_Release(&chain->bodies.view);
        return NULL;
    }
    chain->bodies.at = chain->bodies.start = (size_t)body_at;
    chain->lines.at = chain->lines.start = (size_t)line_at;
    chain->left = (uint64_t)left;
    chain->until = until;
    chain->most_body = (uint64_t)most_body;
    chain->is_open = 1;
    Py_RETURN_NONE;
}

static int set_head(Chain *chain, PyObject *sequence, const char *hash, Py_ssize_t size) {
    unsigned long long number = PyLong_AsUnsignedLongLong(sequence);
    if (PyErr_Occurred() != NULL) {
        return -1;
    }
    if (size != DIGITS) {
        PyErr_SetString(PyExc_ValueError, "a chain's hash has 64 digits");
        return -1;
    }
    chain->sequence = number;
    memcpy(chain->hash, hash, DIGITS);
    return 0;
}

static PyObject *chain_move(Chain *chain, PyObject *args) {
    PyObject *sequence;
    const char *hash;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "Oy#", &sequence, &hash, &size)) {
        return NULL;
    }
    if (chain->is_open) {
        PyErr_SetString(PyExc_ValueError, "the chain is open");
        return NULL;
    }
    return set_head(chain, sequence, hash, size) == 0 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *chain_sequence(Chain *chain, void *nothing) {
    (void)nothing;
    return PyLong_FromUnsignedLongLong(chain->sequence);
}

static PyObject *chain_hash(Chain *chain, void *nothing) {
    (void)nothing;
    return PyBytes_FromStringAndSize(chain->hash, DIGITS);
}

static int chain_init(Chain *chain, PyObject *args, PyObject *names) {
    PyObject *digest, *sequence;
    const char *hash;
    Py_ssize_t size;
    if (chain->digest != NULL || names != NULL) {
        PyErr_SetString(PyExc_TypeError, "a chain is begun once, without names");
        return -1;
    }
    if (!PyArg_ParseTuple(args, "OOy#", &digest, &sequence, &hash, &size) ||
        set_head(chain, sequence, hash, size) != 0) {
        return -1;
    }
    chain->second = -1;
    chain->digest = Py_NewRef(digest);
    return 0;
}

static void chain_dealloc(Chain *chain) {
    PyTypeObject *type = Py_TYPE((PyObject *)chain);
    if (chain->is_open) {
        PyBuffer_Release(&chain->bodies.view);
        PyBuffer_Release(&chain->lines.view);
    }
    Py_XDECREF(chain->digest);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(chain);
    Py_DECREF(type);
}

static PyMethodDef chain_methods[] = {
    {"append", (PyCFunction)(void (*)(void))chain_append, METH_FASTCALL, "See edge_agent.recorder.chain."},
    {"open", (PyCFunction)chain_open, METH_VARARGS, "See edge_agent.recorder.chain."},
    {"shut", (PyCFunction)chain_shut, METH_NOARGS, "See edge_agent.recorder.chain."},
    {"move", (PyCFunction)chain_move, METH_VARARGS, "See edge_agent.recorder.chain."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef chain_values[] = {
    {"sequence", (getter)chain_sequence, NULL, "Of the last record.", NULL},
    {"hash", (getter)chain_hash, NULL, "The chain's, as 64 hexadecimal digits.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot chain_slots[] = {
    {Py_tp_new, PyType_GenericNew}, {Py_tp_init, chain_init},        {Py_tp_dealloc, chain_dealloc},
    {Py_tp_methods, chain_methods}, {Py_tp_getset, chain_values},    {0, NULL},
};

static PyType_Spec chain_type = {
    .name = "edge_agent._native.Chain", .basicsize = sizeof(Chain), .flags = Py_TPFLAGS_DEFAULT, .slots = chain_slots,
};

static PyMethodDef methods[] = {
    {"group", group, METH_VARARGS, "See edge_agent.protocols.postgres.plain.group_purely."},
    {"complete", complete, METH_VARARGS, "See edge_agent.protocols.postgres.plain.complete_purely."},
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
    PyObject *module = PyModule_Create(&definition), *type = NULL;
    if (module != NULL && (type = PyType_FromSpec(&chain_type)) != NULL) {
        if (PyModule_AddObjectRef(module, "Chain", type) == 0) {
            Py_DECREF(type);
            return module;
        }
        Py_DECREF(type);
    }
    Py_XDECREF(module);
    return NULL;
}
