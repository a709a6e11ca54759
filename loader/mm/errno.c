/*
 * errno -> NTSTATUS for the calls that mm/ makes (mmap, mprotect, memfd_create, read, write).
 *
 * The statuses are those that Windows gives in the same situation: no memory, no commit, a file
 * that the user may not map executable.
 */
#include <errno.h>

#include "loader/mm/pages.h"

static const struct {
    int error;
    nt_status status;
} table[] = {
    {ENOMEM, STATUS_NO_MEMORY},
    {EAGAIN, STATUS_NO_MEMORY},
    {EACCES, STATUS_ACCESS_DENIED},
    {EPERM, STATUS_ACCESS_DENIED},
    {EEXIST, STATUS_CONFLICTING_ADDRESSES},
    {EINVAL, STATUS_INVALID_PARAMETER},
    {EBADF, STATUS_INVALID_HANDLE},
    {EISDIR, STATUS_FILE_IS_A_DIRECTORY},
    {ENODEV, STATUS_INVALID_FILE_FOR_SECTION},
    {ENOSPC, STATUS_DISK_FULL},
    {EDQUOT, STATUS_DISK_FULL},
    {EMFILE, STATUS_INSUFFICIENT_RESOURCES},
    {ENFILE, STATUS_INSUFFICIENT_RESOURCES},
};

nt_status mm_status_of_errno(int error)
{
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].error == error)
            return table[i].status;
    return STATUS_UNSUCCESSFUL;
}
