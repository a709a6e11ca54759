/*
 * Who has a file open, and how: share modes, mapped files, running images, among all processes that
 * use peldr (facts 1.6, 4.4; Microsoft's table of CreateFile's share modes).
 *
 * The state is locks on the file itself: open-file-description locks (fcntl(2)) on single bytes
 * just below the largest offset, where no file has data and LockFile of images never reaches. They
 * belong to the description, so they live as long as any handle to the same file object in any
 * process, inherited and duplicated ones included, and the kernel drops them with the last, by kill
 * -9 too. A file system without locks, or a description that cannot carry them, denies nobody
 * anything.
 */
#ifndef OB_FILESHARE_H
#define OB_FILESHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "pe/status.h"

enum { OB_SHARE_READ = 1, OB_SHARE_WRITE = 2, OB_SHARE_DELETE = 4 };

/*
 * Claims `access` and denies what is not in `share` (both OB_SHARE_* bits) for the fresh
 * description `fd`. STATUS_SHARING_VIOLATION, with nothing claimed, when that conflicts with
 * another description's claim, or when writing or deletion is wanted of a file that runs as an
 * image. Two that conflict and come at the same moment: one of them gets it.
 */
nt_status ob_fileshare_claim(int fd, uint32_t access, uint32_t share);
/* Whether somebody denies `access` to the file; claims nothing. */
nt_status ob_fileshare_check(int fd, uint32_t access);

/* A section's own description of the file says that it is mapped: as data, or as an image. */
enum ob_file_use { OB_FILE_MAPPED, OB_FILE_IMAGE };
void ob_fileshare_use(int fd, enum ob_file_use use);
/* Whether any process maps the file so. */
bool ob_fileshare_used(int fd, enum ob_file_use use);

/* A second description of an open file (the same file, whatever its path says now). */
nt_status ob_file_reopen(int fd, int flags, int *out);

#endif
