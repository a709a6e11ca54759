/*
 * Who has a file open, and how: share modes, mapped files, running images, among all processes that
 * use peldr (facts 1.6, 4.4; Microsoft's table of CreateFile's share modes).
 *
 * The state is locks on the file itself: open-file-description locks (fcntl(2)) on single bytes
 * just below the largest offset, where no file has data and LockFile of images never reaches
 * (OB_FILESHARE_START). They belong to the description, so they live as long as any handle to the
 * same file object in any process, inherited and duplicated ones included, and the kernel drops
 * them with the last, by kill -9 too. A file system without locks, or a description that cannot
 * carry them (O_PATH), denies nobody anything. Files and directories only: devices and pipes are
 * not shared that way.
 *
 * A mapping keeps the description of its descriptor alive, and the claims with it. So a section
 * maps a description of its own (ob_file_reopen), never that of a handle.
 */
#ifndef OB_FILESHARE_H
#define OB_FILESHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "pe/status.h"

enum { OB_SHARE_READ = 1, OB_SHARE_WRITE = 2, OB_SHARE_DELETE = 4 };

/* Byte-range locks of images end below this offset. */
#define OB_FILESHARE_START INT64_C(0x7FFFFFFFFFFFF000)

/*
 * Claims `access` and denies what is not in `share` (both OB_SHARE_* bits) for the fresh
 * description `fd`. STATUS_SHARING_VIOLATION, with nothing claimed, when that conflicts with
 * another description's claim, when writing is wanted of a file that runs as an image, or when
 * writing is denied although a section may write the file. Two that conflict and come at the same
 * moment: one of them gets it. Without access nothing is claimed and nothing is denied, as on
 * Windows.
 */
nt_status ob_fileshare_claim(int fd, uint32_t access, uint32_t share);
/* Whether somebody denies `access` to the file; claims nothing. */
nt_status ob_fileshare_check(int fd, uint32_t access);
/* Whether another description has a claim on the file. */
bool ob_fileshare_open_elsewhere(int fd);

/*
 * A section's own description of the file says that it is mapped: as data, as data that the section
 * may write (in addition), or as an image.
 */
enum ob_file_use { OB_FILE_MAPPED, OB_FILE_IMAGE, OB_FILE_WRITABLE };
void ob_fileshare_use(int fd, enum ob_file_use use);
/* Whether any other description maps the file so. */
bool ob_fileshare_used(int fd, enum ob_file_use use);

/*
 * FILE_FLAG_DELETE_ON_CLOSE: the description wants the file deleted when it goes. Who closes a
 * descriptor of it asks afterwards, through another description, whether there are still others.
 */
void ob_fileshare_want_delete(int fd);
bool ob_fileshare_wants_delete(int fd);
/* Denies everything to newcomers, whatever others have: while it is decided what becomes of the
 * file. */
void ob_fileshare_deny_all(int fd);

/* A second description of an open file (the same file, whatever its path says now). */
nt_status ob_file_reopen(int fd, int flags, int *out);

#endif
