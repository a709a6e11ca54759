/*
 * CreateProcessA and CreateProcessW, and GetStartupInfo, which shows what they were given.
 */
#include "loader/win32/createprocess.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ke/teb.h"
#include "loader/ob/object.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"

static BOOL WINAPI_DEF k32_CreateProcessW(const WCHAR *application, const WCHAR *line,
                                          const SECURITY_ATTRIBUTES *process_attributes,
                                          const SECURITY_ATTRIBUTES *thread_attributes,
                                          BOOL inherit, DWORD flags, const void *environment,
                                          const WCHAR *directory,
                                          const struct startup_info *startup,
                                          struct process_information *out)
{
    if (!startup || !out)
        return win32_fail(ERROR_INVALID_PARAMETER);
    struct win32_create how = {
        .application = application,
        .line = line && line[0] ? line : NULL,
        .inherit = inherit,
        .inherit_process = process_attributes && process_attributes->bInheritHandle,
        .inherit_thread = thread_attributes && thread_attributes->bInheritHandle,
        .flags = flags,
        .environment = environment,
        .directory = directory,
        .startup = startup,
    };
    uint32_t error = win32_create_process(&how, out);
    return error ? win32_fail(error) : TRUE;
}

/* The strings of a STARTUPINFOA; the rest is the same. */
static bool widen_startup(const struct startup_info *in, struct startup_info_ex *out, DWORD flags)
{
    bool extended = (flags & EXTENDED_STARTUPINFO_PRESENT) && in->cb >= sizeof(*out);
    WCHAR *desktop = NULL, *title = NULL;
    memcpy(out, in, extended ? sizeof(*out) : sizeof(out->info));
    bool ok = win32_widen(in->lpDesktop, &desktop) && win32_widen(in->lpTitle, &title);
    out->info.lpDesktop = desktop;
    out->info.lpTitle = title;
    return ok;
}

static BOOL WINAPI_DEF k32_CreateProcessA(const char *application, const char *line,
                                          const SECURITY_ATTRIBUTES *process_attributes,
                                          const SECURITY_ATTRIBUTES *thread_attributes,
                                          BOOL inherit, DWORD flags, const void *environment,
                                          const char *directory, const struct startup_info *startup,
                                          struct process_information *out)
{
    WCHAR *wide_application = NULL, *wide_line = NULL, *wide_directory = NULL;
    struct startup_info_ex wide_startup = {0};
    if (!startup || !out)
        return win32_fail(ERROR_INVALID_PARAMETER);
    BOOL ok =
        widen_startup(startup, &wide_startup, flags) &&
        win32_widen_path(application, &wide_application) && win32_widen(line, &wide_line) &&
        win32_widen_path(directory, &wide_directory) &&
        k32_CreateProcessW(wide_application, wide_line, process_attributes, thread_attributes,
                           inherit, flags, environment, wide_directory, &wide_startup.info, out);
    free(wide_application);
    free(wide_line);
    free(wide_directory);
    free(wide_startup.info.lpDesktop);
    free(wide_startup.info.lpTitle);
    return ok;
}

/* WinExec: 33 for a success (it says "greater than 31"), otherwise the error, or 0. */
static UINT WINAPI_DEF k32_WinExec(const char *line, UINT show)
{
    enum { STARTED = 33, LAST_ERROR_VALUE = 31 };
    struct startup_info startup = {
        .cb = sizeof(startup), .dwFlags = STARTF_USESHOWWINDOW, .wShowWindow = (WORD)show};
    struct process_information child;
    struct win32_create how = {.startup = &startup};
    WCHAR *wide;
    if (!win32_widen(line, &wide))
        return 0;
    how.line = wide;
    uint32_t error = win32_create_process(&how, &child);
    free(wide);
    if (error) {
        win32_fail(error);
        return error == ERROR_BAD_EXE_FORMAT ? 11 : error <= LAST_ERROR_VALUE ? error : 0;
    }
    ob_handle_close(win32_ob_handle(child.hProcess));
    ob_handle_close(win32_ob_handle(child.hThread));
    return STARTED;
}

/* ---- start-up information -----------------------------------------------------------------------
 */

static void WINAPI_DEF k32_GetStartupInfoW(struct startup_info *out)
{
    const struct ke_process_parameters *p = ke_peb()->ProcessParameters;
    *out = (struct startup_info){
        .cb = sizeof(*out),
        .lpDesktop = p->DesktopInfo.Buffer,
        .lpTitle = p->WindowTitle.Buffer,
        .dwX = p->StartingX,
        .dwY = p->StartingY,
        .dwXSize = p->CountX,
        .dwYSize = p->CountY,
        .dwXCountChars = p->CountCharsX,
        .dwYCountChars = p->CountCharsY,
        .dwFillAttribute = p->FillAttribute,
        .dwFlags = p->WindowFlags | STARTF_USESTDHANDLES,
        .wShowWindow = (WORD)p->ShowWindowFlags,
        .cbReserved2 = p->RuntimeData.Length,
        .lpReserved2 = p->RuntimeData.Length ? p->RuntimeData.Buffer : NULL,
        .hStdInput = p->StandardInput,
        .hStdOutput = p->StandardOutput,
        .hStdError = p->StandardError,
    };
}

/* The strings live as long as the process. */
static void WINAPI_DEF k32_GetStartupInfoA(struct startup_info *out)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char *desktop, *title;
    k32_GetStartupInfoW(out);
    pthread_mutex_lock(&lock);
    if (!desktop)
        desktop = win32_narrow(out->lpDesktop);
    if (!title)
        title = win32_narrow(out->lpTitle);
    out->lpDesktop = desktop;
    out->lpTitle = title;
    pthread_mutex_unlock(&lock);
}

const struct ldr_builtin_export kernel32_createprocess_exports[] = {
    LDR_FN(k32_, CreateProcessA),  LDR_FN(k32_, CreateProcessW),  LDR_FN(k32_, WinExec),
    LDR_FN(k32_, GetStartupInfoA), LDR_FN(k32_, GetStartupInfoW),
};
const size_t kernel32_createprocess_count =
    sizeof(kernel32_createprocess_exports) / sizeof(*kernel32_createprocess_exports);
