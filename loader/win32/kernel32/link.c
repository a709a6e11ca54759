/*
 * Links, copies with options, and what else makes a second name for a file.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/filename.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"

static BOOL hard_link(const WCHAR *name, const WCHAR *existing)
{
    char *from = NULL, *to = NULL;
    nt_status status = name && existing ? win32_host_path(existing, true, &from)
                                        : (nt_status)STATUS_OBJECT_PATH_NOT_FOUND;
    if (nt_ok(status))
        status = win32_host_path(name, false, &to);
    if (nt_ok(status) && link(from, to) < 0)
        status = win32_status_of_errno(errno);
    free(from);
    free(to);
    return win32_result(status);
}

static BOOL WINAPI_DEF k32_CreateHardLinkW(const WCHAR *name, const WCHAR *existing, void *security)
{
    return hard_link(name, existing);
}

static BOOL WINAPI_DEF k32_CreateHardLinkA(const char *name, const char *existing, void *security)
{
    WCHAR *wide = NULL, *wide_existing = NULL;
    BOOL ok = win32_widen_path(name, &wide) && win32_widen_path(existing, &wide_existing) &&
              hard_link(wide, wide_existing);
    free(wide);
    free(wide_existing);
    return ok;
}

/*
 * The text of a link to `target`: a relative one keeps its form, so that the link moves with its
 * directory; an absolute one becomes the host's path. The target need not exist.
 */
static nt_status link_text(const WCHAR *target, char **out)
{
    bool absolute = target[0] == '\\' || target[0] == '/' || (target[0] && target[1] == ':');
    if (absolute)
        return win32_host_path(target, false, out);
    *out = win32_utf8_of_wide(target, SIZE_MAX);
    for (char *c = *out; c && *c; c++)
        *c = *c == '\\' ? '/' : *c;
    return *out ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
}

static BOOLEAN symbolic_link(const WCHAR *name, const WCHAR *target, DWORD flags)
{
    char *path = NULL, *text = NULL;
    if (!name || !target || !target[0] || (flags & ~3u)) /* directory, unprivileged create */
        return (BOOLEAN)win32_fail(ERROR_INVALID_PARAMETER);
    nt_status status = win32_host_path(name, false, &path);
    if (nt_ok(status))
        status = link_text(target, &text);
    if (nt_ok(status) && symlink(text, path) < 0)
        status = win32_status_of_errno(errno);
    free(path);
    free(text);
    return (BOOLEAN)win32_result(status);
}

static BOOLEAN WINAPI_DEF k32_CreateSymbolicLinkW(const WCHAR *name, const WCHAR *target,
                                                  DWORD flags)
{
    return symbolic_link(name, target, flags);
}

static BOOLEAN WINAPI_DEF k32_CreateSymbolicLinkA(const char *name, const char *target, DWORD flags)
{
    WCHAR *wide = NULL, *wide_target = NULL;
    BOOLEAN ok = win32_widen_path(name, &wide) && win32_widen_path(target, &wide_target) &&
                 symbolic_link(wide, wide_target, flags);
    free(wide);
    free(wide_target);
    return ok;
}

const struct ldr_builtin_export kernel32_link_exports[] = {
    LDR_FN(k32_, CreateHardLinkA),
    LDR_FN(k32_, CreateHardLinkW),
    LDR_FN(k32_, CreateSymbolicLinkA),
    LDR_FN(k32_, CreateSymbolicLinkW),
};
const size_t kernel32_link_count = sizeof(kernel32_link_exports) / sizeof(*kernel32_link_exports);
