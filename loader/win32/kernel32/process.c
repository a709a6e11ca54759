/*
 * Processes by id and handle: this one, opening others, their end.
 */
#include "loader/ke/teb.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/otherprocess.h"

static HANDLE WINAPI_DEF k32_GetCurrentProcess(void)
{
    return CURRENT_PROCESS;
}

static DWORD WINAPI_DEF k32_GetCurrentProcessId(void)
{
    return ke_process_id();
}

static DWORD WINAPI_DEF k32_GetProcessId(HANDLE handle)
{
    struct ob_object *process;
    if (!win32_process_get(handle, PROCESS_QUERY_LIMITED_INFORMATION, &process))
        return 0;
    DWORD id = ob_process_id(process);
    ob_object_unref(process);
    return id;
}

static void WINAPI_DEF k32_ExitProcess(UINT code)
{
    ke_process_exit(code);
}

static BOOL WINAPI_DEF k32_TerminateProcess(HANDLE handle, UINT code)
{
    struct ob_object *process;
    if (!win32_process_get(handle, PROCESS_TERMINATE, &process))
        return FALSE;
    nt_status status = win32_process_terminate(process, code);
    ob_object_unref(process);
    return win32_result(status);
}

static BOOL WINAPI_DEF k32_GetExitCodeProcess(HANDLE handle, DWORD *code)
{
    struct ob_object *process;
    if (!win32_process_get(handle, PROCESS_QUERY_LIMITED_INFORMATION, &process))
        return FALSE;
    if (code)
        *code = ob_process_exit_code(process);
    ob_object_unref(process);
    return code || win32_fail(ERROR_INVALID_PARAMETER);
}

/* Processes in which peldr does not run do not exist here: ERROR_INVALID_PARAMETER. */
static HANDLE WINAPI_DEF k32_OpenProcess(DWORD access, BOOL inherit, DWORD id)
{
    HANDLE handle = NULL;
    return win32_result(win32_process_open(id, access, inherit, &handle)) ? handle : NULL;
}

static BOOL WINAPI_DEF k32_ProcessIdToSessionId(DWORD id, DWORD *session)
{
    struct ob_object *process;
    if (!session || !nt_ok(ob_process_open(id, &process, NULL)))
        return win32_fail(ERROR_INVALID_PARAMETER);
    ob_object_unref(process);
    *session = 1; /* what every PEB here says */
    return TRUE;
}

static BOOL WINAPI_DEF k32_GetProcessHandleCount(HANDLE handle, DWORD *count)
{
    struct win32_process_info info;
    struct ob_object *process;
    if (!win32_process_get(handle, PROCESS_QUERY_LIMITED_INFORMATION, &process))
        return FALSE;
    nt_status status = win32_process_info(process, &info);
    ob_object_unref(process);
    if (!win32_result(status))
        return FALSE;
    if (count)
        *count = info.handle_count;
    win32_process_info_free(&info);
    return count || win32_fail(ERROR_INVALID_PARAMETER);
}

/* The version of the subsystem that the program asks for; 0 means this process. */
static DWORD WINAPI_DEF k32_GetProcessVersion(DWORD id)
{
    const struct ke_peb *peb = ke_peb();
    if (id && id != ke_process_id())
        return (DWORD)win32_fail(ERROR_INVALID_PARAMETER);
    return peb->ImageSubsystemMajorVersion << 16 | peb->ImageSubsystemMinorVersion;
}

const struct ldr_builtin_export kernel32_process_exports[] = {
    LDR_FN(k32_, GetCurrentProcess),     LDR_FN(k32_, GetCurrentProcessId),
    LDR_FN(k32_, GetProcessId),          LDR_FN(k32_, ExitProcess),
    LDR_FN(k32_, TerminateProcess),      LDR_FN(k32_, GetExitCodeProcess),
    LDR_FN(k32_, OpenProcess),           LDR_FN(k32_, ProcessIdToSessionId),
    LDR_FN(k32_, GetProcessHandleCount), LDR_FN(k32_, GetProcessVersion),
};
const size_t kernel32_process_count =
    sizeof(kernel32_process_exports) / sizeof(*kernel32_process_exports);
