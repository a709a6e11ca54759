/*
 * FILE objects over glibc's streams (stream.h): opening and closing, bytes, UTF-16 units.
 */
#include "loader/win32/crt/stream.h"

#include <errno.h>
#include <pthread.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <unistd.h>

#include "loader/ldr/path.h"
#include "loader/win32/crt/data.h"
#include "loader/win32/crt/fd.h"
#include "loader/win32/locks.h"

#define WEOF_WINDOWS ((crt_wchar)0xFFFF)

/*
 * Streams that images opened, for _fcloseall and _flushall. The critical section behind the FILE is
 * an interface, too: _lock_file as linked into mingw-w64's images enters it for streams outside
 * _iob.
 */
struct open_stream {
    struct crt_file file;
    CRITICAL_SECTION lock;
    struct open_stream *next, **link;
    unsigned number;
};
static struct open_stream *open_streams; /* the last one first */
static unsigned last_number;
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static bool detached; /* crt_stream_detach() was called */

void crt_stream_init_iob(struct crt_file *iob)
{
    FILE *const hosts[] = {stdin, stdout, stderr};
    for (int i = 0; i < 3; i++) {
        iob[i] = (struct crt_file){
            .host = hosts[i],
            .flag = i == 0 ? CRT_FILE_READ : CRT_FILE_WRITE,
            .fd = i,
        };
    }
    for (int i = 3; i < CRT_IOB_ENTRIES; i++) {
        iob[i] = (struct crt_file){.fd = -1};
    }
}

struct crt_file *crt_stream_std(unsigned index)
{
    return &crt_data.iob[index < CRT_IOB_ENTRIES ? index : 0];
}

/* ---- glibc's side: streams over CRT descriptors
 * -------------------------------------------------------- */

static ssize_t cookie_read(void *cookie, char *buffer, size_t size)
{
    return crt_fd_read_raw((int)(intptr_t)cookie, buffer, size);
}

static ssize_t cookie_write(void *cookie, const char *buffer, size_t size)
{
    ssize_t put = crt_fd_write_raw((int)(intptr_t)cookie, buffer, size);
    return put < 0 ? 0 : put; /* what fopencookie wants of a failure */
}

static int cookie_seek(void *cookie, off64_t *offset, int origin)
{
    int64_t at = crt_fd_seek((int)(intptr_t)cookie, *offset, origin);
    *offset = at;
    return at < 0 ? -1 : 0;
}

static int cookie_close(void *cookie)
{
    return crt_fd_close((int)(intptr_t)cookie);
}

struct mode {
    int open_flags; /* CRT_O_* */
    int file_flags; /* CRT_FILE_* */
    const char *host;
};

static bool equals_ascii(const crt_wchar *text, const char *wanted)
{
    for (; *wanted != 0; text++, wanted++) {
        if (crt_lower(*text) != *wanted) {
            return false;
        }
    }
    return true;
}

static int encoding_of(const crt_wchar *rest)
{
    while (*rest == ' ' || *rest == ',') {
        rest++;
    }
    if (!equals_ascii(rest, "ccs")) {
        return 0;
    }
    for (rest += 3; *rest == ' ' || *rest == '='; rest++) {
    }
    return equals_ascii(rest, "utf-8")                                       ? CRT_O_U8TEXT
           : equals_ascii(rest, "utf-16le") || equals_ascii(rest, "unicode") ? CRT_O_U16TEXT
                                                                             : 0;
}

static bool parse_mode(const crt_wchar *text, struct mode *mode)
{
    while (text != NULL && *text == ' ') {
        text++;
    }
    int first = text != NULL ? *text : 0;
    if (first != 'r' && first != 'w' && first != 'a') {
        crt_invalid(CRT_EINVAL);
        return false;
    }
    static const int creation[] = {
        ['r'] = 0, ['w'] = CRT_O_CREAT | CRT_O_TRUNC, ['a'] = CRT_O_CREAT | CRT_O_APPEND};
    bool update = false;
    mode->open_flags = creation[first];
    for (text++; *text != 0 && *text != ','; text++) {
        update = update || *text == '+';
        mode->open_flags |= *text == 'b'   ? CRT_O_BINARY
                            : *text == 't' ? CRT_O_TEXT
                            : *text == 'N' ? CRT_O_NOINHERIT
                            : *text == 'D' ? CRT_O_TEMPORARY
                            : *text == 'x' ? CRT_O_EXCL
                                           : 0;
    }
    mode->open_flags |= encoding_of(text);
    mode->open_flags |= update ? CRT_O_RDWR : first != 'r' ? CRT_O_WRONLY : 0;
    mode->file_flags = update ? CRT_FILE_RW : first == 'r' ? CRT_FILE_READ : CRT_FILE_WRITE;
    /* Appending is the descriptor's: it seeks to the end before each write, as Windows does. */
    mode->host = update ? "r+" : first == 'r' ? "r" : "w";
    return true;
}

static FILE *host_stream(int fd, const struct mode *mode)
{
    cookie_io_functions_t functions = {cookie_read, cookie_write, cookie_seek, cookie_close};
    FILE *host = fopencookie((void *)(intptr_t)fd, mode->host, functions);
    if (host == NULL) {
        crt_set_errno(CRT_ENOMEM);
    }
    return host;
}

static struct crt_file *new_stream(int fd, const struct mode *mode)
{
    struct open_stream *stream = calloc(1, sizeof(*stream));
    FILE *host = stream != NULL ? host_stream(fd, mode) : NULL;
    if (host == NULL) {
        free(stream);
        crt_set_errno(CRT_ENOMEM);
        return NULL;
    }
    stream->file = (struct crt_file){.host = host, .flag = mode->file_flags, .fd = fd};
    win32_critsec_init(&stream->lock, 0);
    pthread_mutex_lock(&open_lock);
    stream->next = open_streams;
    stream->link = &open_streams;
    if (open_streams != NULL) {
        open_streams->link = &stream->next;
    }
    open_streams = stream;
    stream->number = ++last_number;
    pthread_mutex_unlock(&open_lock);
    return &stream->file;
}

struct crt_file *crt_stream_open(const crt_wchar *name, const crt_wchar *mode_text, int share)
{
    struct mode mode;
    if (name == NULL) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    if (!parse_mode(mode_text, &mode)) {
        return NULL;
    }
    int fd = crt_fd_open(name, mode.open_flags, share, 0x180);
    if (fd < 0) {
        return NULL;
    }
    struct crt_file *file = new_stream(fd, &mode);
    if (file == NULL) {
        crt_fd_close(fd);
    }
    return file;
}

struct crt_file *crt_stream_from_fd(int fd, const crt_wchar *mode_text)
{
    struct mode mode;
    if (!parse_mode(mode_text, &mode) || crt_fd_host(fd) < 0) {
        return NULL;
    }
    if (mode.open_flags & (CRT_O_TEXT | CRT_O_BINARY)) {
        crt_fd_set_mode(fd, mode.open_flags & (CRT_O_TEXT | CRT_O_BINARY));
    }
    return new_stream(fd, &mode);
}

/* The list's record of a stream, or NULL for _iob's. */
static struct open_stream *record_of(struct crt_file *file)
{
    struct open_stream *stream = open_streams;
    while (stream != NULL && &stream->file != file) {
        stream = stream->next;
    }
    return stream;
}

static bool is_host_standard(FILE *host)
{
    return host == stdin || host == stdout || host == stderr;
}

/* Ends the host stream; the host program's own standard streams are only flushed. */
static int end_host(struct crt_file *file)
{
    if (file->host == NULL) {
        return 0;
    }
    int result = is_host_standard(file->host) ? fflush(file->host) : fclose(file->host);
    if (is_host_standard(file->host)) {
        crt_fd_close(file->fd);
    }
    file->host = NULL;
    return result == 0 ? 0 : crt_fail_from_host();
}

bool crt_stream_reopen(struct crt_file *file, const crt_wchar *name, const crt_wchar *mode_text)
{
    struct mode mode;
    int target = file->fd;
    if (name == NULL || !parse_mode(mode_text, &mode)) {
        return false;
    }
    end_host(file);
    int fd = crt_fd_open(name, mode.open_flags, 0x40, 0x180);
    if (fd >= 0 && fd != target && target >= 0) { /* the number stays: it is usually 0, 1 or 2 */
        int moved = crt_fd_duplicate(fd, target);
        crt_fd_close(fd);
        fd = moved;
    }
    file->host = fd >= 0 ? host_stream(fd, &mode) : NULL;
    file->flag = mode.file_flags;
    file->fd = fd;
    file->cnt = 0;
    if (file->host == NULL && fd >= 0) {
        crt_fd_close(fd);
    }
    return file->host != NULL;
}

int crt_stream_close(struct crt_file *file)
{
    int result = end_host(file);
    pthread_mutex_lock(&open_lock);
    struct open_stream *stream = record_of(file);
    if (stream != NULL) {
        *stream->link = stream->next;
        if (stream->next != NULL) {
            stream->next->link = stream->link;
        }
    }
    pthread_mutex_unlock(&open_lock);
    if (file->temporary != NULL) {
        unlink(file->temporary);
        free(file->temporary);
    }
    *file = (struct crt_file){.fd = -1};
    free(stream);
    return result;
}

int crt_stream_all(bool close)
{
    int count = 0;
    struct open_stream *stream;
    fflush(NULL);
    for (;; count++) {
        pthread_mutex_lock(&open_lock);
        stream = open_streams;
        for (int i = 0; !close && stream != NULL && i < count; i++) {
            stream = stream->next;
        }
        pthread_mutex_unlock(&open_lock);
        if (stream == NULL) {
            return count;
        }
        if (close) {
            crt_stream_close(&stream->file);
        }
    }
}

unsigned crt_stream_last(void)
{
    return last_number;
}

void crt_stream_close_after(unsigned last)
{
    for (;;) {
        pthread_mutex_lock(&open_lock);
        struct open_stream *stream = open_streams;
        bool more = stream != NULL && stream->number > last;
        pthread_mutex_unlock(&open_lock);
        if (!more) {
            return;
        }
        crt_stream_close(&stream->file);
    }
}

void crt_stream_detach(void)
{
    crt_stream_all(false);
    detached = true;
}

/* Terminals and stderr have no buffer on Windows. 1 is the buffer size of an unbuffered stream. */
static bool is_lost(const struct crt_file *file)
{
    return detached && file->host != stderr && __fbufsize(file->host) != 1 &&
           !isatty(crt_fd_host(file->fd));
}

/* ---- bytes
 * --------------------------------------------------------------------------------------------------
 */

void crt_stream_lock(struct crt_file *file)
{
    if (file->host != NULL) {
        flockfile(file->host);
    }
}

void crt_stream_unlock(struct crt_file *file)
{
    if (file->host != NULL) {
        funlockfile(file->host);
    }
}

/* Brings the _flag that images test in line with the host stream; -1. */
static int ended(struct crt_file *file)
{
    if (file->host == NULL) {
        crt_set_errno(CRT_EBADF);
        return -1;
    }
    if (ferror(file->host)) {
        file->flag |= CRT_FILE_ERROR;
        crt_fail_from_host();
    } else {
        file->flag |= CRT_FILE_EOF;
    }
    return -1;
}

int crt_stream_getc(struct crt_file *file)
{
    file->cnt = 0; /* the getc() macro has counted it down */
    if (file->host == NULL) {
        return ended(file);
    }
    int c = getc(file->host);
    if (crt_fd_mode(file->fd) == CRT_MODE_BINARY) {
        return c >= 0 ? c : ended(file);
    }
    if (c == '\r') {
        int next = getc(file->host);
        if (next == '\n') {
            return '\n';
        }
        if (next >= 0) {
            ungetc(next, file->host);
        }
        return c;
    }
    if (c == 0x1A && crt_fd_at_disk(file->fd)) { /* Ctrl-Z ends a text */
        file->flag |= CRT_FILE_EOF;
        ungetc(c, file->host);
        return -1;
    }
    return c >= 0 ? c : ended(file);
}

int crt_stream_ungetc(struct crt_file *file, int c)
{
    if (c < 0 || file->host == NULL || ungetc((unsigned char)c, file->host) < 0) {
        return -1;
    }
    file->flag &= ~CRT_FILE_EOF;
    return (unsigned char)c;
}

size_t crt_stream_read(struct crt_file *file, void *buffer, size_t size)
{
    size_t done = 0;
    if (file->host == NULL) {
        ended(file);
        return 0;
    }
    crt_stream_lock(file);
    if (crt_fd_mode(file->fd) == CRT_MODE_BINARY) {
        done = fread(buffer, 1, size, file->host);
        if (done < size) {
            ended(file);
        }
    } else {
        for (int c; done < size && (c = crt_stream_getc(file)) >= 0; done++) {
            ((char *)buffer)[done] = (char)c;
        }
    }
    crt_stream_unlock(file);
    return done;
}

/* Writes up to the next \n, and that as \r\n. */
static bool write_lines(struct crt_file *file, const char *at, size_t size)
{
    while (size > 0) {
        const char *newline = memchr(at, '\n', size);
        size_t part = newline != NULL ? (size_t)(newline - at) : size;
        if (fwrite(at, 1, part, file->host) != part ||
            (newline != NULL && fwrite("\r\n", 1, 2, file->host) != 2)) {
            return false;
        }
        part += newline != NULL;
        at += part;
        size -= part;
    }
    return true;
}

size_t crt_stream_write(struct crt_file *file, const void *buffer, size_t size)
{
    file->cnt = 0;
    if (file->host == NULL) {
        ended(file);
        return 0;
    }
    if (is_lost(file)) {
        return size;
    }
    crt_stream_lock(file);
    bool ok = crt_fd_writes_crlf(file->fd) ? write_lines(file, buffer, size)
                                           : fwrite(buffer, 1, size, file->host) == size;
    if (!ok) {
        ended(file);
    }
    crt_stream_unlock(file);
    return ok ? size : 0;
}

/* ---- UTF-16 units
 * --------------------------------------------------------------------------------------------- */

static crt_wchar get_utf16(struct crt_file *file)
{
    int low = crt_stream_getc(file);
    int high = low >= 0 ? crt_stream_getc(file) : -1;
    return high >= 0 ? (crt_wchar)(low | high << 8) : WEOF_WINDOWS;
}

static crt_wchar get_utf16_text(struct crt_file *file)
{
    int low = getc(file->host), high = getc(file->host);
    if (high < 0) {
        ended(file);
        return WEOF_WINDOWS;
    }
    crt_wchar c = (crt_wchar)(low | high << 8);
    if (c != '\r') {
        return c;
    }
    low = getc(file->host);
    high = getc(file->host);
    if (low == '\n' && high == 0) {
        return '\n';
    }
    if (high >= 0) {
        ungetc(high, file->host);
        ungetc(low, file->host);
    }
    return c;
}

crt_wchar crt_stream_getwc(struct crt_file *file)
{
    char bytes[4];
    crt_wchar out[2];
    size_t used;
    if (file->lead_surrogate != 0) { /* the second half of a pair that one character gave */
        crt_wchar second = (crt_wchar)file->lead_surrogate;
        file->lead_surrogate = 0;
        return second;
    }
    enum crt_mode mode = crt_fd_mode(file->fd);
    if (file->host == NULL || mode == CRT_MODE_BINARY) {
        return get_utf16(file);
    }
    if (mode == CRT_MODE_UTF16) {
        return get_utf16_text(file);
    }
    for (size_t n = 0; n < sizeof(bytes);) {
        int c = crt_stream_getc(file);
        if (c < 0) {
            return WEOF_WINDOWS;
        }
        bytes[n++] = (char)c;
        int units = crt_decode(bytes, n, &used, out);
        if (units < 0) {
            break;
        }
        if (units > 0) {
            file->lead_surrogate = units == 2 ? out[1] : 0;
            return out[0];
        }
    }
    crt_set_errno(CRT_EILSEQ);
    file->flag |= CRT_FILE_ERROR;
    return WEOF_WINDOWS;
}

crt_wchar crt_stream_ungetwc(struct crt_file *file, crt_wchar c)
{
    char bytes[4] = {(char)c, (char)(c >> 8)};
    size_t used;
    enum crt_mode mode = crt_fd_mode(file->fd);
    int n = mode == CRT_MODE_BINARY || mode == CRT_MODE_UTF16 ? 2 : crt_encode(&c, 1, &used, bytes);
    if (c == WEOF_WINDOWS || n <= 0) {
        return WEOF_WINDOWS;
    }
    while (n > 0) {
        if (crt_stream_ungetc(file, (unsigned char)bytes[--n]) < 0) {
            return WEOF_WINDOWS;
        }
    }
    return c;
}

static bool write_utf16(struct crt_file *file, const crt_wchar *units, size_t count)
{
    bool crlf = crt_fd_mode(file->fd) == CRT_MODE_UTF16 && crt_fd_writes_crlf(file->fd);
    for (size_t i = 0; i < count; i++) {
        crt_wchar pair[2] = {'\r', units[i]};
        bool line = crlf && units[i] == '\n';
        const crt_wchar *from = line ? pair : pair + 1;
        size_t bytes = line ? 4 : 2;
        if (file->host == NULL || fwrite(from, 1, bytes, file->host) != bytes) {
            ended(file);
            return false;
        }
    }
    return true;
}

/* UTF-16 becomes the locale's bytes; a surrogate pair may come in two calls. */
static size_t write_converted(struct crt_file *file, const crt_wchar *units, size_t count)
{
    size_t at = 0;
    while (at < count) {
        crt_wchar pair[2] = {(crt_wchar)file->lead_surrogate, units[at]};
        bool held = file->lead_surrogate != 0;
        char bytes[4];
        size_t used = 0;
        int n = crt_encode(held ? pair : units + at, held ? 2 : count - at, &used, bytes);
        if (n == 0) {
            file->lead_surrogate = units[at++];
            continue;
        }
        file->lead_surrogate = 0;
        if (n < 0) {
            crt_set_errno(CRT_EILSEQ);
            file->flag |= CRT_FILE_ERROR;
            return at;
        }
        if (crt_stream_write(file, bytes, (size_t)n) != (size_t)n) {
            return at;
        }
        at += held ? used - 1 : used;
    }
    return at;
}

static size_t write_utf8(struct crt_file *file, const crt_wchar *units, size_t count)
{
    for (size_t at = 0; at < count;) {
        char bytes[12];
        size_t part = count - at < 2 || (units[at] & 0xFC00) != 0xD800 ? 1 : 2;
        size_t n = ldr_utf16_to_utf8(units + at, part, bytes, sizeof(bytes));
        if (crt_stream_write(file, bytes, n) != n) {
            return at;
        }
        at += part;
    }
    return count;
}

size_t crt_stream_write_wide(struct crt_file *file, const crt_wchar *units, size_t count)
{
    enum crt_mode mode = crt_fd_mode(file->fd);
    size_t done = 0;
    if (file->host != NULL && is_lost(file)) {
        return count;
    }
    crt_stream_lock(file);
    /* A console shows text, whatever encoding was asked for: here that is a terminal with UTF-8. */
    bool console = mode == CRT_MODE_UTF16 && isatty(crt_fd_host(file->fd));
    if (mode == CRT_MODE_UTF8 || console) {
        done = write_utf8(file, units, count);
    } else if (mode == CRT_MODE_UTF16 || mode == CRT_MODE_BINARY) {
        done = write_utf16(file, units, count) ? count : 0;
    } else {
        done = write_converted(file, units, count);
    }
    crt_stream_unlock(file);
    return done;
}
