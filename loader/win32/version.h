/*
 * The Windows version that images are told: what the PEB says (ke/os.h), by default 10.0.19045
 * (22H2); a program's Win32VersionValue may have changed it.
 *
 * GetVersionEx answers that too, as it does for an image whose manifest names Windows 10; images
 * without such a manifest would be told 6.2 by Windows 10.
 */
#ifndef WIN32_VERSION_H
#define WIN32_VERSION_H

#include "loader/win32/types.h"
#include "pe/status.h"

struct win32_version_info { /* OSVERSIONINFO(EX)W */
    DWORD size, major, minor, build, platform;
    WCHAR service_pack[128];
    WORD service_pack_major, service_pack_minor, suite_mask;
    BYTE product_type, reserved;
};

#define WIN32_VERSION_INFO_SHORT offsetof(struct win32_version_info, service_pack_major)

/* As GetVersion gives it: the platform in the two highest bits, inverted. */
DWORD win32_version_number(void);
/* Fills the short or the long form, by `size`; false for another one. */
bool win32_get_version(struct win32_version_info *out);
ULONGLONG win32_condition_mask(ULONGLONG mask, DWORD type_mask, BYTE condition);
/* 0, ERROR_OLD_WIN_VERSION, or ERROR_BAD_ARGUMENTS for conditions that are not set. */
uint32_t win32_verify_version(const struct win32_version_info *wanted, DWORD type_mask,
                              ULONGLONG conditions);

#endif
