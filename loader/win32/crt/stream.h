/*
 * FILE objects as images see them, over glibc's streams.
 *
 * msvcrt's headers index the array _iob by the size of FILE and test its _flag, so the struct has
 * Windows's layout. Buffering is glibc's; text translation happens above it, so positions are byte
 * positions as on Windows. Streams 1 and 2 are the host program's own stdout and stderr: what the
 * host and its images print stays in order.
 */
#ifndef WIN32_CRT_STREAM_H
#define WIN32_CRT_STREAM_H

#include <stdio.h>

#include "loader/win32/crt/internal.h"

enum crt_file_flags { /* _flag, documented by the feof() and ferror() macros of msvcrt's stdio.h */
                      CRT_FILE_READ = 0x1,
                      CRT_FILE_WRITE = 0x2,
                      CRT_FILE_EOF = 0x10,
                      CRT_FILE_ERROR = 0x20,
                      CRT_FILE_RW = 0x80,
};

struct crt_file {
    char *ptr; /* with cnt 0: the getc() macro calls _filbuf, putc() calls _flsbuf */
    int cnt;
    FILE *host; /* Windows: _base */
    int flag;
    int fd;             /* CRT descriptor */
    int lead_surrogate; /* Windows: _charbuf; half a pair that was written or is to be read */
    int bufsiz;
    char *temporary; /* removed at fclose; Windows: _tmpfname */
};
_Static_assert(sizeof(struct crt_file) == (sizeof(void *) == 8 ? 48 : 32), "msvcrt's FILE");

enum { CRT_IOB_ENTRIES = 20 };

/* Stream 0, 1 or 2 as UCRT images see them; the same host streams as msvcrt's _iob. */
struct crt_file *crt_stream_std(unsigned index);
/* Fills an _iob array. */
void crt_stream_init_iob(struct crt_file *iob);

/* Windows path and fopen() mode; `share` is an _SH_ constant. NULL with errno set. */
struct crt_file *crt_stream_open(const crt_wchar *name, const crt_wchar *mode, int share);
struct crt_file *crt_stream_from_fd(int fd, const crt_wchar *mode);
bool crt_stream_reopen(struct crt_file *file, const crt_wchar *name, const crt_wchar *mode);
int crt_stream_close(struct crt_file *file);
/* Flushes everything; closes what is left except 0, 1, 2 when `close`. Streams touched. */
int crt_stream_all(bool close);
/* How many streams have been opened; closes those that were opened since. For snapshots. */
unsigned crt_stream_last(void);
void crt_stream_close_after(unsigned last);
/*
 * The runtime's DLL_PROCESS_DETACH: everything is flushed. What is written to a buffered stream
 * from now on stays in a buffer that nobody empties (behaviours, TLS).
 */
void crt_stream_detach(void);

void crt_stream_lock(struct crt_file *file);
void crt_stream_unlock(struct crt_file *file);
/* With text translation; the lock is taken inside as well (it is recursive). */
int crt_stream_getc(struct crt_file *file); /* -1 = end or error */
int crt_stream_ungetc(struct crt_file *file, int c);
size_t crt_stream_read(struct crt_file *file, void *buffer, size_t size);
size_t crt_stream_write(struct crt_file *file, const void *buffer, size_t size);
/* UTF-16 units; 0xFFFF = end or error. */
crt_wchar crt_stream_getwc(struct crt_file *file);
crt_wchar crt_stream_ungetwc(struct crt_file *file, crt_wchar c);
size_t crt_stream_write_wide(struct crt_file *file, const crt_wchar *units, size_t count);

#endif
