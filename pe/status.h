/*
 * NTSTATUS values and the error record that every room fills in.
 *
 * A failure in peldr is an NTSTATUS with one sentence. The record belongs to the caller, is passed
 * last and may be NULL; the first failure wins and outer rooms only add context (who wanted it).
 * Names and values: Microsoft's ntstatus.h documentation; Win32 codes: the RtlNtStatusToDosError
 * mapping as recorded in the facts sheet, section 5.
 */
#ifndef PE_STATUS_H
#define PE_STATUS_H

#include <stdbool.h>
#include <stdint.h>

typedef uint32_t nt_status;

/* X(name, NTSTATUS, Win32 error, sentence) - the one table behind every status question. */
#define NT_STATUS_TABLE(X)                                                                      \
    X(STATUS_SUCCESS, 0x00000000, 0, "success")                                                 \
    X(STATUS_TIMEOUT, 0x00000102, 258, "the wait timed out")                                    \
    X(STATUS_OBJECT_NAME_EXISTS, 0x40000000, 183, "an object of that name exists already")      \
    X(STATUS_IMAGE_NOT_AT_BASE, 0x40000003, 0, "the image is not at its preferred base")        \
    X(STATUS_BREAKPOINT, 0x80000003, 2147483651u, "breakpoint")                                 \
    X(STATUS_NO_MORE_FILES, 0x80000006, 18, "there are no more files")                          \
    X(STATUS_UNSUCCESSFUL, 0xC0000001, 31, "the operation failed")                              \
    X(STATUS_NOT_IMPLEMENTED, 0xC0000002, 120, "not implemented")                               \
    X(STATUS_ACCESS_VIOLATION, 0xC0000005, 998, "access violation")                             \
    X(STATUS_IN_PAGE_ERROR, 0xC0000006, 999, "the page could not be read from its file")        \
    X(STATUS_INVALID_HANDLE, 0xC0000008, 6, "the handle is invalid")                            \
    X(STATUS_INVALID_CID, 0xC000000B, 87, "there is no such process or thread")                 \
    X(STATUS_INVALID_PARAMETER, 0xC000000D, 87, "a parameter is invalid")                       \
    X(STATUS_NO_SUCH_FILE, 0xC000000F, 2, "the file does not exist")                            \
    X(STATUS_END_OF_FILE, 0xC0000011, 38, "the end of the file was reached")                    \
    X(STATUS_NO_MEMORY, 0xC0000017, 8, "not enough memory")                                     \
    X(STATUS_CONFLICTING_ADDRESSES, 0xC0000018, 487, "the address range is taken")              \
    X(STATUS_NOT_MAPPED_VIEW, 0xC0000019, 487, "the address is not in a mapped view")           \
    X(STATUS_UNABLE_TO_FREE_VM, 0xC000001A, 87, "the memory cannot be freed")                   \
    X(STATUS_UNABLE_TO_DELETE_SECTION, 0xC000001B, 87, "a view is not freed this way")          \
    X(STATUS_INVALID_VIEW_SIZE, 0xC000001F, 5, "the view does not fit the section")             \
    X(STATUS_INVALID_FILE_FOR_SECTION, 0xC0000020, 193, "the file cannot back a section")       \
    X(STATUS_ALREADY_COMMITTED, 0xC0000021, 5, "the memory is committed already")               \
    X(STATUS_ACCESS_DENIED, 0xC0000022, 5, "access denied")                                     \
    X(STATUS_BUFFER_TOO_SMALL, 0xC0000023, 122, "the buffer is too small")                      \
    X(STATUS_OBJECT_TYPE_MISMATCH, 0xC0000024, 6, "the object has another type")                \
    X(STATUS_NOT_COMMITTED, 0xC000002D, 487, "the memory is not committed")                     \
    X(STATUS_OBJECT_NAME_INVALID, 0xC0000033, 123, "the name is invalid")                       \
    X(STATUS_OBJECT_NAME_NOT_FOUND, 0xC0000034, 2, "no object has that name")                   \
    X(STATUS_OBJECT_NAME_COLLISION, 0xC0000035, 183, "the name is in use")                      \
    X(STATUS_OBJECT_PATH_NOT_FOUND, 0xC000003A, 3, "the path does not exist")                   \
    X(STATUS_OBJECT_PATH_SYNTAX_BAD, 0xC000003B, 161, "the path is malformed")                  \
    X(STATUS_DATA_ERROR, 0xC000003E, 23, "the data makes no sense")                             \
    X(STATUS_SECTION_TOO_BIG, 0xC0000040, 8, "the section is larger than its file")             \
    X(STATUS_SHARING_VIOLATION, 0xC0000043, 32, "the file is in use")                           \
    X(STATUS_INVALID_PAGE_PROTECTION, 0xC0000045, 87, "the page protection is invalid")         \
    X(STATUS_MUTANT_NOT_OWNED, 0xC0000046, 288, "the thread does not own the mutex")            \
    X(STATUS_SEMAPHORE_LIMIT_EXCEEDED, 0xC0000047, 298, "the semaphore's maximum was exceeded") \
    X(STATUS_SECTION_PROTECTION, 0xC000004E, 87, "the section does not allow that protection")  \
    X(STATUS_PRIVILEGE_NOT_HELD, 0xC0000061, 1314, "a privilege is missing")                    \
    X(STATUS_INVALID_IMAGE_FORMAT, 0xC000007B, 193, "the image format is invalid")              \
    X(STATUS_DISK_FULL, 0xC000007F, 112, "the disk is full")                                    \
    X(STATUS_SECTION_NOT_EXTENDED, 0xC0000087, 87, "the section cannot be extended")            \
    X(STATUS_NOT_MAPPED_DATA, 0xC0000088, 487, "the address is not in mapped data")             \
    X(STATUS_RESOURCE_DATA_NOT_FOUND, 0xC0000089, 1812, "the image has no resources")           \
    X(STATUS_RESOURCE_TYPE_NOT_FOUND, 0xC000008A, 1813, "the resource type does not exist")     \
    X(STATUS_RESOURCE_NAME_NOT_FOUND, 0xC000008B, 1814, "the resource name does not exist")     \
    X(STATUS_FILE_INVALID, 0xC0000098, 1006, "the file is invalid")                             \
    X(STATUS_INSUFFICIENT_RESOURCES, 0xC000009A, 1450, "insufficient resources")                \
    X(STATUS_FREE_VM_NOT_AT_BASE, 0xC000009F, 487, "the address is not the base of the memory") \
    X(STATUS_MEMORY_NOT_ALLOCATED, 0xC00000A0, 487, "the memory is not allocated")              \
    X(STATUS_IO_TIMEOUT, 0xC00000B5, 121, "the other side did not answer in time")              \
    X(STATUS_FILE_IS_A_DIRECTORY, 0xC00000BA, 5, "the file is a directory")                     \
    X(STATUS_NOT_SUPPORTED, 0xC00000BB, 50, "not supported")                                    \
    X(STATUS_INVALID_PARAMETER_4, 0xC00000F2, 87, "the fourth parameter is invalid")            \
    X(STATUS_INVALID_PARAMETER_6, 0xC00000F4, 87, "the sixth parameter is invalid")             \
    X(STATUS_NAME_TOO_LONG, 0xC0000106, 206, "the name is too long")                            \
    X(STATUS_PROCESS_IS_TERMINATING, 0xC000010A, 5, "the process is ending")                    \
    X(STATUS_INVALID_IMAGE_NE_FORMAT, 0xC000011B, 193, "a 16-bit (NE) image")                   \
    X(STATUS_MAPPED_FILE_SIZE_ZERO, 0xC000011E, 1006, "an empty file cannot be mapped")         \
    X(STATUS_CANNOT_DELETE, 0xC0000121, 5, "the file cannot be deleted")                        \
    X(STATUS_COMMITMENT_LIMIT, 0xC000012D, 1455, "there is no room for more memory")            \
    X(STATUS_INVALID_IMAGE_LE_FORMAT, 0xC000012E, 193, "a linear-executable (LE) image")        \
    X(STATUS_INVALID_IMAGE_NOT_MZ, 0xC000012F, 193, "not an MZ file")                           \
    X(STATUS_INVALID_IMAGE_PROTECT, 0xC0000130, 193, "no NT headers behind the MZ header")      \
    X(STATUS_INVALID_IMAGE_WIN_16, 0xC0000131, 193, "a 16-bit Windows image")                   \
    X(STATUS_DLL_NOT_FOUND, 0xC0000135, 126, "the module could not be found")                   \
    X(STATUS_ORDINAL_NOT_FOUND, 0xC0000138, 182, "the ordinal is not exported")                 \
    X(STATUS_ENTRYPOINT_NOT_FOUND, 0xC0000139, 127, "the name is not exported")                 \
    X(STATUS_CONTROL_C_EXIT, 0xC000013A, 572, "the process was ended by Ctrl+C")                \
    X(STATUS_INVALID_ADDRESS, 0xC0000141, 59, "the address is invalid")                         \
    X(STATUS_DLL_INIT_FAILED, 0xC0000142, 1114, "the module's initialisation failed")           \
    X(STATUS_MAPPED_ALIGNMENT, 0xC0000220, 1132, "the address or offset is not aligned")        \
    X(STATUS_IMAGE_CHECKSUM_MISMATCH, 0xC0000221, 193, "the checksum does not match")           \
    X(STATUS_RETRY, 0xC000022D, 1237, "the request is to be made again")                        \
    X(STATUS_HANDLE_NOT_CLOSABLE, 0xC0000235, 6, "the handle is protected from being closed")   \
    X(STATUS_USER_MAPPED_FILE, 0xC0000243, 1224, "a view of the file is mapped")

#define NT_STATUS_ENUM(name, value, win32, text) name = (int)(value),
enum { NT_STATUS_TABLE(NT_STATUS_ENUM) };
#undef NT_STATUS_ENUM

/* True for success and informational values, as NT_SUCCESS(). */
static inline bool nt_ok(nt_status status)
{
    return (int32_t)status >= 0;
}

/* "STATUS_DLL_NOT_FOUND", or "STATUS_UNKNOWN" for a value outside the table. Never NULL. */
const char *nt_status_name(nt_status status);
/* The table's sentence. Never NULL. */
const char *nt_status_text(nt_status status);
/* Mirrors RtlNtStatusToDosError for the values of the table; 317 (ERROR_MR_MID_NOT_FOUND) else. */
uint32_t nt_status_to_win32(nt_status status);

/* One failure: its status, the id of the rule that refused (or NULL) and one sentence. */
struct pe_error {
    nt_status status;
    const char *rule; /* static string, e.g. "opt.file_alignment" */
    char text[1024];  /* UTF-8, no newline at the end */
};

/*
 * Records a failure and returns `status`, so that `return pe_fail(err, ...)` reads well.
 * A record that already holds a failure keeps it (the first failure wins).
 */
nt_status pe_fail(struct pe_error *err, nt_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
nt_status pe_fail_rule(struct pe_error *err, nt_status status, const char *rule, const char *fmt,
                       ...) __attribute__((format(printf, 4, 5)));
/* Puts context in front of the sentence: "a.dll: " + text. Nothing happens when no failure is held.
 */
void pe_error_prefix(struct pe_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
