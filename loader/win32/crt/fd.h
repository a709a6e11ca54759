/*
 * The C runtime's file descriptors: a table of its own over Linux descriptors and KERNEL32 handles.
 *
 * Text mode is a property of the descriptor, as on Windows. Disk files opened as text get \n
 * written as \r\n and read back as \n, and end at Ctrl-Z. The standard streams (0, 1, 2) write \n
 * unchanged: on the other end is a Linux terminal or pipe; what they read still loses its \r.
 */
#ifndef WIN32_CRT_FD_H
#define WIN32_CRT_FD_H

#include <sys/types.h>

#include "loader/win32/crt/internal.h"

enum crt_open_flags { /* the _O_ constants of Windows's fcntl.h */
                      CRT_O_WRONLY = 0x1,
                      CRT_O_RDWR = 0x2,
                      CRT_O_APPEND = 0x8,
                      CRT_O_TEMPORARY = 0x40,
                      CRT_O_NOINHERIT = 0x80,
                      CRT_O_CREAT = 0x100,
                      CRT_O_TRUNC = 0x200,
                      CRT_O_EXCL = 0x400,
                      CRT_O_TEXT = 0x4000,
                      CRT_O_BINARY = 0x8000,
                      CRT_O_WTEXT = 0x10000,
                      CRT_O_U16TEXT = 0x20000,
                      CRT_O_U8TEXT = 0x40000,
};

enum crt_mode { CRT_MODE_TEXT, CRT_MODE_BINARY, CRT_MODE_UTF16, CRT_MODE_UTF8 };

enum { CRT_FD_LIMIT = 2048 };

/* Opens a Windows path by Windows's flags. A CRT descriptor or -1 with errno set. */
int crt_fd_open(const crt_wchar *name, int flags, int share, int permission);
/* Enters a Linux descriptor, which the table then owns. -1 with errno set; `host` stays open then.
 */
int crt_fd_enter(int host, int flags);
/* Enters a KERNEL32 file handle, which the table then owns. */
int crt_fd_enter_handle(void *handle, int flags);
void *crt_fd_handle(int fd); /* the KERNEL32 handle; INVALID_HANDLE_VALUE with errno EBADF */
/* Closes; -1 with errno EBADF for a descriptor that is not open. */
int crt_fd_close(int fd);
/* How many descriptors have been opened; closes those that were opened since. For snapshots. */
unsigned crt_fd_last(void);
void crt_fd_close_after(unsigned last);
/* `fd` now names what `from` names; what it named before is closed. -1 with errno set. */
int crt_fd_duplicate(int from, int fd);
/* The Linux descriptor, or -1 with errno EBADF. */
int crt_fd_host(int fd);
/* Whether its handle grants writing, which the Linux descriptor may do without that. */
bool crt_fd_writable(int fd);
enum crt_mode crt_fd_mode(int fd);
/* Whether writing translates \n to \r\n. */
bool crt_fd_writes_crlf(int fd);
int crt_fd_set_mode(int fd, int flags); /* _setmode */
bool crt_fd_at_disk(int fd);            /* a disk file, where Ctrl-Z ends a text */
/* Raw bytes, whole writes. -1 with the host's errno. */
ssize_t crt_fd_read_raw(int fd, void *buffer, size_t size);
ssize_t crt_fd_write_raw(int fd, const void *buffer, size_t size);
int64_t crt_fd_seek(int fd, int64_t offset, int origin); /* -1 with errno set */

#endif
