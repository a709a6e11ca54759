/*
 * File objects: a host file descriptor behind a handle, with the rights and sharing of NT.
 *
 * Shared by KERNEL32, NTDLL and the C runtimes: file.c has objects and handles, fileopen.c opens,
 * fileio.c transfers and sets sizes, filedelete.c deletes and renames, fileparcel.c takes files to
 * other processes. Sharing modes bind all processes that use peldr (ob/fileshare.h).
 */
#ifndef WIN32_FILE_H
#define WIN32_FILE_H

#include <sys/types.h>

#include "loader/ob/object.h"
#include "loader/win32/types.h"

enum {
    GENERIC_ALL = 0x10000000,
    GENERIC_EXECUTE = 0x20000000,
    GENERIC_WRITE = 0x40000000,
    FILE_READ_DATA = 0x1,
    FILE_WRITE_DATA = 0x2,
    FILE_APPEND_DATA = 0x4,
    FILE_EXECUTE = 0x20,
    FILE_READ_ATTRIBUTES = 0x80,
    FILE_WRITE_ATTRIBUTES = 0x100,
    FILE_DELETE = 0x10000,
    MAXIMUM_ALLOWED = 0x2000000,
    FILE_ALL_ACCESS = 0x1F01FF,
    FILE_GENERIC_READ = 0x120089,
    FILE_GENERIC_WRITE = 0x120116,
    FILE_GENERIC_EXECUTE = 0x1200A0,
};
#define GENERIC_READ 0x80000000u

enum { FILE_SHARE_READ = 1, FILE_SHARE_WRITE = 2, FILE_SHARE_DELETE = 4 };
enum { CREATE_NEW = 1, CREATE_ALWAYS, OPEN_EXISTING, OPEN_ALWAYS, TRUNCATE_EXISTING };
enum {
    FILE_ATTRIBUTE_READONLY = 0x1,
    FILE_ATTRIBUTE_HIDDEN = 0x2,
    FILE_ATTRIBUTE_SYSTEM = 0x4,
    FILE_ATTRIBUTE_DIRECTORY = 0x10,
    FILE_ATTRIBUTE_ARCHIVE = 0x20,
    FILE_ATTRIBUTE_NORMAL = 0x80,
    FILE_ATTRIBUTE_TEMPORARY = 0x100,
    FILE_FLAG_OPEN_REPARSE_POINT = 0x00200000,
    FILE_FLAG_BACKUP_SEMANTICS = 0x02000000,
    FILE_FLAG_DELETE_ON_CLOSE = 0x04000000,
    FILE_FLAG_OVERLAPPED = 0x40000000,
};
#define FILE_FLAG_WRITE_THROUGH 0x80000000u
enum { FILE_TYPE_UNKNOWN, FILE_TYPE_DISK, FILE_TYPE_CHAR, FILE_TYPE_PIPE };

struct win32_file {
    struct ob_object object;
    int fd;
    bool owns_fd;
    bool directory;
    bool delete_on_close; /* FILE_FLAG_DELETE_ON_CLOSE, or a deletion that only we know of */
    uint8_t type;         /* FILE_TYPE_* */
    uint32_t access;      /* FILE_* rights that the first handle was granted */
    uint32_t share, flags;
    char *path;             /* host path; NULL for pipes and standard streams */
    struct ob_object *port; /* the completion port, a reference; set once at most */
    uintptr_t port_key;
    bool skip_port; /* FILE_SKIP_COMPLETION_PORT_ON_SUCCESS */
};

extern const struct ob_type win32_file_type;
/* Lets files go to other processes; once, when the builtin modules are registered. */
void win32_file_register(void);

struct win32_open {
    uint32_t access, share, disposition, flags; /* flags: attributes and FILE_FLAG_* */
    bool inherit;
    bool want_directory; /* NtCreateFile's FILE_DIRECTORY_FILE: refuse files */
    uint32_t mode;       /* permissions of a new file; 0 = the usual ones */
};

/* CreateFile without its last errors; `*existed` says whether the file was there before. */
nt_status win32_file_open(const WCHAR *name, const struct win32_open *how, HANDLE *out,
                          bool *existed);
/* The same by host path, as an object without handle. */
nt_status win32_file_open_host(const char *path, const struct win32_open *how,
                               struct win32_file **out, bool *existed);
/* A handle that grants `access`, for a new file object, whose reference it takes over. */
nt_status win32_file_handle(struct win32_file *file, uint32_t access, bool inherit, HANDLE *out);
/* A file object for a descriptor, which is closed with it when `owns_fd`; NULL = no memory. */
struct win32_file *win32_file_new(int fd, uint32_t access, bool owns_fd);
/* The FILE_* rights that an access mask with generic rights means. */
uint32_t win32_file_rights(uint32_t access);
/* The OB_SHARE_* bits of FILE_* rights. */
uint32_t win32_file_claims(uint32_t rights);
/* A handle for a descriptor; closed with the last handle when `owns_fd`. INVALID_HANDLE_VALUE = no
 * memory. */
HANDLE win32_file_from_fd(int fd, uint32_t access, bool owns_fd);
/*
 * The file behind a handle that grants all of `access` (0 = any), with a reference. The standard
 * pseudo handles are the caller's business.
 */
nt_status win32_file_get(HANDLE handle, uint32_t access, struct win32_file **out);
void win32_file_put(struct win32_file *file);

/*
 * Both transfer at `*offset`, or at the file's own position when `offset` is NULL. Reading returns
 * STATUS_END_OF_FILE at the end of a disk file and STATUS_PIPE_BROKEN at the end of a pipe. A
 * failure may have transferred a part, which `*done` tells.
 */
nt_status win32_file_read(struct win32_file *file, void *buffer, uint32_t size,
                          const uint64_t *offset, uint32_t *done);
nt_status win32_file_write(struct win32_file *file, const void *buffer, uint32_t size,
                           const uint64_t *offset, uint32_t *done);

/* As win32_file_get, for a handle through which one may write or append. */
nt_status win32_file_get_writable(HANDLE handle, struct win32_file **out);
/* A transfer at an offset on a handle without FILE_FLAG_OVERLAPPED moves the file position. */
void win32_file_follow(struct win32_file *file, uint64_t offset, uint32_t done);
/*
 * SetEndOfFile. STATUS_USER_MAPPED_FILE when a section of any process would lose bytes,
 * STATUS_DISK_FULL when the file system has no room for what is added.
 */
nt_status win32_file_set_size(struct win32_file *file, int64_t size);
nt_status win32_fd_set_size(int fd, int64_t size);
/* read(2) and write(2) into memory that may belong to a SEC_RESERVE view: what another process has
 * committed since is opened, as a fault would do. */
ssize_t win32_host_read(int fd, void *buffer, size_t size);
ssize_t win32_host_write(int fd, const void *buffer, size_t size);
/* Sets the event of a finished transfer; NULL and what is no event are passed over. */
void win32_file_signal(HANDLE event);

/* Gives the file a completion port. STATUS_INVALID_PARAMETER when it has one. */
nt_status win32_file_set_port(struct win32_file *file, struct ob_object *port, uintptr_t key);
/*
 * A transfer has ended: its packet, when the file has a port. There is none for a failure, which
 * the call itself returns. `event` with bit 0 set keeps this transfer out of the port.
 */
void win32_file_post(struct win32_file *file, nt_status status, uint32_t done, void *context,
                     HANDLE event);

/* What Windows tells of a file. Times in 100 ns since 1601. */
struct win32_file_info {
    uint32_t attributes;
    int64_t creation, access, write, change;
    uint64_t size, allocation;
    uint32_t links;
    uint64_t dev, ino;
    bool directory;
    bool deleted; /* by handle only: win32_file_is_deleted() */
};
/* By descriptor (`path` NULL), or by host path (following symbolic links, dangling ones as
 * themselves). */
nt_status win32_file_info(int fd, const char *path, struct win32_file_info *out);
/* ---- deleting and renaming (filedelete.c) ---- */

/*
 * DeleteFile by host path: sharing rules, read-only attribute, mapped files. A file that is open
 * elsewhere keeps its name until the last handle closes, and cannot be opened meanwhile.
 */
nt_status win32_file_delete(const char *path);
nt_status win32_directory_delete(const char *path);
/* FileDispositionInfo: the file goes when its last handle does, or stays after all. */
nt_status win32_file_set_deleted(struct win32_file *file, bool deleted);
/* Whether it is to go that way. */
bool win32_file_is_deleted(const struct win32_file *file);
/* Whether the file that was just opened is on its way out; a deletion that nobody is left to carry
 * out is carried out, and `*gone` set: there is no such file. */
nt_status win32_file_check_deleted(int fd, bool *gone);
/* To be called by who failed to claim `fd`: others may have taken the attempt for one that holds
 * the file, and left the deletion to it. */
void win32_file_look(int fd);
/*
 * Closes a descriptor that had claims and deletes the file if it was the last to keep it. `own` is
 * the path to delete for the description's own sake (FILE_FLAG_DELETE_ON_CLOSE), or NULL.
 */
void win32_file_close_and_look(int fd, const char *own);
/* At the end of the process, with a handle still open: deletes what is to be deleted. */
void win32_file_leave(struct win32_file *file);
/* Closes the file's descriptor and deletes what is to be deleted. */
void win32_file_close(struct win32_file *file);
/* MoveFile on one file system: sharing rules. */
nt_status win32_file_rename(const char *from, const char *to, bool replace);
/* The same of a file that is open. */
nt_status win32_file_rename_open(struct win32_file *file, const char *to, bool replace);

#endif
