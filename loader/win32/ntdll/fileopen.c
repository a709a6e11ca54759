/*
 * Opening, asking about and deleting files by their NT names (Microsoft, "NtCreateFile",
 * "NtQueryAttributesFile"; MS-FSA 2.1.5.1).
 *
 * An NT name is taken as it is: no current directory, no "." and "..", no DOS devices but those
 * that \??\ leads to, "/" is a character that no name has.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/filename.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/strings.h"

struct object_attributes {
    ULONG Length;
    HANDLE RootDirectory;
    const UNICODE_STRING *ObjectName;
    ULONG Attributes;
    void *SecurityDescriptor, *SecurityQualityOfService;
};
enum { OBJ_INHERIT = 2 };

enum { FILE_SUPERSEDE, FILE_OPEN, FILE_CREATE, FILE_OPEN_IF, FILE_OVERWRITE, FILE_OVERWRITE_IF };
enum { FILE_SUPERSEDED, FILE_OPENED, FILE_CREATED, FILE_OVERWRITTEN };
enum {
    FILE_DIRECTORY_FILE = 0x1,
    FILE_WRITE_THROUGH = 0x2,
    FILE_SYNCHRONOUS_IO = 0x30, /* alertable or not */
    FILE_NON_DIRECTORY_FILE = 0x40,
    FILE_DELETE_ON_CLOSE = 0x1000,
    FILE_OPEN_REPARSE_POINT = 0x200000,
    SYNCHRONIZE = 0x100000,
};

/* ---- names --------------------------------------------------------------------------------------
 */

static bool begins_with(const WCHAR *s, size_t length, const char *prefix)
{
    for (size_t i = 0; prefix[i]; i++) {
        if (i >= length || s[i] >= 0x80 || (s[i] | 0x20) != (prefix[i] | 0x20))
            return false;
    }
    return true;
}

/* Characters that only Win32 gives a meaning to. */
static nt_status check_text(const WCHAR *s, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (s[i] == 0 || s[i] == '/')
            return (nt_status)STATUS_OBJECT_NAME_INVALID;
    }
    return STATUS_SUCCESS;
}

/* `head` "\" `s`, where the head's own "\" is not doubled. */
static WCHAR *join(const WCHAR *head, size_t head_length, const WCHAR *s, size_t length)
{
    WCHAR *out = malloc((head_length + length + 2) * sizeof(*out));
    if (!out)
        return NULL;
    memcpy(out, head, head_length * sizeof(*out));
    if (length && head_length && head[head_length - 1] != '\\')
        out[head_length++] = '\\';
    memcpy(out + head_length, s, length * sizeof(*out));
    out[head_length + length] = 0;
    return out;
}

/* \??\C:\dir\file and \??\NUL in Win32's form. */
static nt_status absolute_name(const WCHAR *s, size_t length, WCHAR **out)
{
    static const char *const prefixes[] = {"\\??\\", "\\DosDevices\\", "\\GLOBAL??\\"};
    static const WCHAR verbatim[] = {'\\', '\\', '?', '\\'};
    if (!length || s[0] != '\\')
        return (nt_status)STATUS_OBJECT_PATH_SYNTAX_BAD;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
        size_t skip = strlen(prefixes[i]);
        if (!begins_with(s, length, prefixes[i]))
            continue;
        *out = join(verbatim, 4, s + skip, length - skip);
        return *out ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
    }
    return (nt_status)STATUS_OBJECT_PATH_NOT_FOUND;
}

static nt_status relative_name(HANDLE root, const WCHAR *s, size_t length, WCHAR **out)
{
    static const WCHAR verbatim[] = {'\\', '\\', '?', '\\'};
    struct win32_file *directory;
    if (length && s[0] == '\\')
        return (nt_status)STATUS_OBJECT_PATH_SYNTAX_BAD;
    nt_status status = win32_file_get(root, 0, &directory);
    if (!nt_ok(status))
        return status;
    WCHAR *head =
        directory->directory && directory->path ? win32_windows_path(directory->path) : NULL;
    status = directory->directory ? STATUS_SUCCESS : (nt_status)STATUS_OBJECT_PATH_NOT_FOUND;
    win32_file_put(directory);
    WCHAR *below = head ? join(head, win32_wlen(head), s, length) : NULL;
    *out = below ? join(verbatim, 4, below, win32_wlen(below)) : NULL;
    free(head);
    free(below);
    return nt_ok(status) && !*out ? (nt_status)STATUS_NO_MEMORY : status;
}

/* The name as Win32's functions take it, malloc'ed. */
static nt_status name_of(const struct object_attributes *attributes, WCHAR **out)
{
    static const UNICODE_STRING none = {0};
    *out = NULL;
    if (!attributes || attributes->Length != sizeof(*attributes))
        return (nt_status)STATUS_INVALID_PARAMETER;
    const UNICODE_STRING *name = attributes->ObjectName ? attributes->ObjectName : &none;
    size_t length = name->Length / sizeof(WCHAR);
    if (name->Length % sizeof(WCHAR))
        return (nt_status)STATUS_OBJECT_NAME_INVALID;
    if (length && !name->Buffer)
        return (nt_status)STATUS_ACCESS_VIOLATION;
    nt_status status = check_text(name->Buffer, length);
    if (!nt_ok(status))
        return status;
    return attributes->RootDirectory
               ? relative_name(attributes->RootDirectory, name->Buffer, length, out)
               : absolute_name(name->Buffer, length, out);
}

/* ---- opening
 * ------------------------------------------------------------------------------------- */

static uint32_t disposition_of(ULONG disposition)
{
    static const uint8_t map[] = {
        [FILE_SUPERSEDE] = CREATE_ALWAYS,     [FILE_OPEN] = OPEN_EXISTING,
        [FILE_CREATE] = CREATE_NEW,           [FILE_OPEN_IF] = OPEN_ALWAYS,
        [FILE_OVERWRITE] = TRUNCATE_EXISTING, [FILE_OVERWRITE_IF] = CREATE_ALWAYS,
    };
    return disposition < sizeof(map) ? map[disposition] : 0;
}

/* What was done, for the status block. */
static ULONG outcome_of(ULONG disposition, bool existed)
{
    if (!existed)
        return FILE_CREATED;
    if (disposition == FILE_SUPERSEDE)
        return FILE_SUPERSEDED;
    return disposition == FILE_OVERWRITE || disposition == FILE_OVERWRITE_IF ? FILE_OVERWRITTEN
                                                                             : FILE_OPENED;
}

static nt_status check_options(ULONG access, ULONG disposition, ULONG options)
{
    bool both_kinds = (options & FILE_DIRECTORY_FILE) && (options & FILE_NON_DIRECTORY_FILE);
    bool cuts_directory = (options & FILE_DIRECTORY_FILE) && disposition != FILE_OPEN &&
                          disposition != FILE_CREATE && disposition != FILE_OPEN_IF;
    bool deletes = (access & (FILE_DELETE | GENERIC_ALL | MAXIMUM_ALLOWED)) != 0;
    bool waits = (access & (SYNCHRONIZE | GENERIC_ALL | GENERIC_EXECUTE | GENERIC_WRITE |
                            GENERIC_READ | MAXIMUM_ALLOWED)) != 0;
    if (disposition > FILE_OVERWRITE_IF || both_kinds || cuts_directory ||
        (options & FILE_SYNCHRONOUS_IO) == FILE_SYNCHRONOUS_IO)
        return (nt_status)STATUS_INVALID_PARAMETER;
    if (((options & FILE_SYNCHRONOUS_IO) && !waits) ||
        ((options & FILE_DELETE_ON_CLOSE) && !deletes))
        return (nt_status)STATUS_INVALID_PARAMETER;
    return STATUS_SUCCESS;
}

static uint32_t flags_of(ULONG attributes, ULONG options)
{
    uint32_t flags = attributes & 0xFFFF;
    if (!(options & FILE_NON_DIRECTORY_FILE))
        flags |= FILE_FLAG_BACKUP_SEMANTICS; /* directories too */
    if (!(options & FILE_SYNCHRONOUS_IO))
        flags |= FILE_FLAG_OVERLAPPED;
    if (options & FILE_DELETE_ON_CLOSE)
        flags |= FILE_FLAG_DELETE_ON_CLOSE;
    if (options & FILE_WRITE_THROUGH)
        flags |= FILE_FLAG_WRITE_THROUGH;
    if (options & FILE_OPEN_REPARSE_POINT)
        flags |= FILE_FLAG_OPEN_REPARSE_POINT;
    return flags;
}

static nt_status WINAPI_DEF nt_NtCreateFile(HANDLE *out, ULONG access,
                                            const struct object_attributes *attributes,
                                            IO_STATUS_BLOCK *io, const int64_t *allocation,
                                            ULONG file_attributes, ULONG share, ULONG disposition,
                                            ULONG options, void *ea, ULONG ea_length)
{
    WCHAR *name;
    bool existed = false;
    if (!out || !io)
        return (nt_status)STATUS_ACCESS_VIOLATION;
    nt_status status = check_options(access, disposition, options);
    if (!nt_ok(status))
        return status;
    status = name_of(attributes, &name);
    if (!nt_ok(status))
        return status;
    struct win32_open how = {
        .access = access,
        .share = share,
        .disposition = disposition_of(disposition),
        .flags = flags_of(file_attributes, options),
        .inherit = attributes->Attributes & OBJ_INHERIT,
        .want_directory = options & FILE_DIRECTORY_FILE,
    };
    status = win32_file_open(name, &how, out, &existed);
    free(name);
    io->u.Status = (int32_t)status;
    io->Information = nt_ok(status) ? outcome_of(disposition, existed) : 0;
    return status;
}

static nt_status WINAPI_DEF nt_NtOpenFile(HANDLE *out, ULONG access,
                                          const struct object_attributes *attributes,
                                          IO_STATUS_BLOCK *io, ULONG share, ULONG options)
{
    return nt_NtCreateFile(out, access, attributes, io, NULL, 0, share, FILE_OPEN, options, NULL,
                           0);
}

/* ---- by name
 * -------------------------------------------------------------------------------------- */

static nt_status WINAPI_DEF nt_NtDeleteFile(const struct object_attributes *attributes)
{
    WCHAR *name;
    char *path = NULL;
    nt_status status = name_of(attributes, &name);
    if (nt_ok(status))
        status = win32_host_path(name, true, &path);
    if (nt_ok(status))
        status = win32_file_delete(path);
    if (status == (nt_status)STATUS_FILE_IS_A_DIRECTORY)
        status = win32_directory_delete(path);
    free(path);
    free(name);
    return status;
}

static nt_status info_of(const struct object_attributes *attributes, struct win32_file_info *info)
{
    WCHAR *name;
    char *path = NULL;
    nt_status status = name_of(attributes, &name);
    if (nt_ok(status))
        status = win32_host_path(name, true, &path);
    if (nt_ok(status))
        status = win32_file_info(-1, path, info);
    free(path);
    free(name);
    return status;
}

struct network_open_information {
    int64_t CreationTime __attribute__((aligned(8)));
    int64_t LastAccessTime, LastWriteTime, ChangeTime, AllocationSize, EndOfFile;
    ULONG FileAttributes;
};
_Static_assert(sizeof(struct network_open_information) == 56, "FILE_NETWORK_OPEN_INFORMATION");

static nt_status WINAPI_DEF nt_NtQueryFullAttributesFile(const struct object_attributes *attributes,
                                                         struct network_open_information *out)
{
    struct win32_file_info info;
    nt_status status = info_of(attributes, &info);
    if (!nt_ok(status))
        return status;
    if (!out)
        return (nt_status)STATUS_ACCESS_VIOLATION;
    *out = (struct network_open_information){
        .CreationTime = info.creation,
        .LastAccessTime = info.access,
        .LastWriteTime = info.write,
        .ChangeTime = info.change,
        .AllocationSize = (int64_t)info.allocation,
        .EndOfFile = (int64_t)info.size,
        .FileAttributes = info.attributes,
    };
    return STATUS_SUCCESS;
}

struct basic_information {
    int64_t CreationTime __attribute__((aligned(8)));
    int64_t LastAccessTime, LastWriteTime, ChangeTime;
    ULONG FileAttributes;
};

static nt_status WINAPI_DEF nt_NtQueryAttributesFile(const struct object_attributes *attributes,
                                                     struct basic_information *out)
{
    struct win32_file_info info;
    nt_status status = info_of(attributes, &info);
    if (!nt_ok(status))
        return status;
    if (!out)
        return (nt_status)STATUS_ACCESS_VIOLATION;
    *out = (struct basic_information){
        .CreationTime = info.creation,
        .LastAccessTime = info.access,
        .LastWriteTime = info.write,
        .ChangeTime = info.change,
        .FileAttributes = info.attributes,
    };
    return STATUS_SUCCESS;
}

const struct ldr_builtin_export ntdll_fileopen_exports[] = {
    NT_ZW(CreateFile),
    NT_ZW(OpenFile),
    NT_ZW(DeleteFile),
    NT_ZW(QueryAttributesFile),
    NT_ZW(QueryFullAttributesFile),
};
const size_t ntdll_fileopen_count =
    sizeof(ntdll_fileopen_exports) / sizeof(*ntdll_fileopen_exports);
