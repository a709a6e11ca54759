/*
 * _spawn and _exec: programs found as the C runtime finds them, their arguments joined.
 *
 * The documented rules: arguments are joined with blanks and nothing is quoted; a name without
 * extension is tried with .com, .exe, .bat and .cmd; the p forms search the directories of PATH. A
 * child has the caller's descriptors 0, 1 and 2 as its standard handles.
 */
#include "loader/win32/crt/spawn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "loader/ke/ke.h"
#include "loader/ob/process.h"
#include "loader/win32/createprocess.h"
#include "loader/win32/crt/fd.h"
#include "loader/win32/filename.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"
#include "loader/win32/waitable.h"

/* ---- starting -----------------------------------------------------------------------------------
 */

void *crt_spawn(const struct crt_spawn *how)
{
    struct startup_info startup = {.cb = sizeof(startup), .dwFlags = STARTF_USESTDHANDLES};
    HANDLE *const to[] = {&startup.hStdInput, &startup.hStdOutput, &startup.hStdError};
    struct process_information made;
    struct win32_create create = {
        .application = how->application,
        .line = how->line,
        .inherit = true,
        .flags = CREATE_UNICODE_ENVIRONMENT | (how->detached ? DETACHED_PROCESS : 0),
        .environment = how->environment,
        .startup = &startup,
    };
    for (int i = 0; i < 3; i++) {
        HANDLE handle = how->std[i] != NULL ? how->std[i] : crt_fd_handle(i);
        *to[i] = handle;
        ob_handle_flags(win32_ob_handle(handle), 1, 1, NULL);
    }
    uint32_t error = win32_create_process(&create, &made);
    if (error != 0) {
        crt_fail_from_win32(error);
        return NULL;
    }
    ob_handle_close(win32_ob_handle(made.hThread));
    return made.hProcess;
}

int crt_spawn_wait(void *process)
{
    struct ob_object *object;
    int code = -1;
    win32_wait((const HANDLE *)&process, 1, false, OB_INFINITE);
    if (nt_ok(ob_handle_get(win32_ob_handle(process), &ob_process_type, &object, NULL))) {
        code = (int)ob_process_exit_code(object);
        ob_object_unref(object);
    }
    ob_handle_close(win32_ob_handle(process));
    return code;
}

/* ---- finding ------------------------------------------------------------------------------------
 */

static bool exists(const crt_wchar *path)
{
    struct stat st;
    char *host = NULL;
    bool found =
        nt_ok(win32_host_path(path, true, &host)) && stat(host, &st) == 0 && S_ISREG(st.st_mode);
    free(host);
    return found;
}

static bool has_extension(const crt_wchar *name)
{
    bool found = false;
    for (; *name != 0; name++) {
        found = *name == '.' || (found && *name != '\\' && *name != '/');
    }
    return found;
}

/* `directory` (of `length`; 0 = none) and `name`, with the extension that there is a file of. */
static crt_wchar *try_extensions(const crt_wchar *directory, size_t length, const crt_wchar *name)
{
    static const char *const extensions[] = {"", ".com", ".exe", ".bat", ".cmd"};
    size_t count = has_extension(name) ? 1 : CRT_COUNT(extensions), size = crt_wlen(name);
    crt_wchar *path = calloc(length + size + 8, sizeof(*path));
    if (path == NULL) {
        return NULL;
    }
    memcpy(path, directory, length * sizeof(*path));
    if (length != 0 && path[length - 1] != '\\' && path[length - 1] != '/') {
        path[length++] = '\\';
    }
    memcpy(path + length, name, size * sizeof(*path));
    for (size_t i = count == 1 ? 0 : 1; i < count; i++) {
        for (size_t k = 0; k <= strlen(extensions[i]); k++) {
            path[length + size + k] = (crt_wchar)extensions[i][k];
        }
        if (exists(path)) {
            return path;
        }
    }
    free(path);
    return NULL;
}

static crt_wchar *search_path(const crt_wchar *name)
{
    static const crt_wchar variable[] = {'P', 'A', 'T', 'H'};
    crt_wchar *list = win32_getenv(variable, 4), *found = NULL;
    for (const crt_wchar *at = list; at != NULL && *at != 0 && found == NULL;) {
        const crt_wchar *end = win32_wchr(at, ';');
        size_t length = end != NULL ? (size_t)(end - at) : crt_wlen(at);
        if (length != 0) {
            found = try_extensions(at, length, name);
        }
        at += length + (end != NULL);
    }
    free(list);
    return found;
}

static crt_wchar *find_program(const crt_wchar *name, bool search)
{
    bool has_path = win32_wchr(name, '\\') || win32_wchr(name, '/') || win32_wchr(name, ':');
    crt_wchar *found = try_extensions(name, 0, name);
    if (found == NULL && search && !has_path) {
        found = search_path(name);
    }
    if (found == NULL) {
        crt_fail_from_win32(2); /* ERROR_FILE_NOT_FOUND */
    }
    return found;
}

/* ---- arguments ----------------------------------------------------------------------------------
 */

/* Strings with `between` behind each, and one NUL more at the end. */
static crt_wchar *join(const crt_wchar *const *strings, crt_wchar between)
{
    size_t units = 2;
    for (size_t i = 0; strings[i] != NULL; i++) {
        units += crt_wlen(strings[i]) + 1;
    }
    crt_wchar *out = calloc(units, sizeof(*out)), *at = out;
    for (size_t i = 0; out != NULL && strings[i] != NULL; i++) {
        size_t length = crt_wlen(strings[i]);
        if (i != 0) {
            *at++ = between;
        }
        memcpy(at, strings[i], length * sizeof(*at));
        at += length;
    }
    if (out == NULL) {
        crt_set_errno(CRT_ENOMEM);
    }
    return out;
}

static intptr_t finish(int mode, void *process)
{
    switch (mode) {
    case CRT_P_WAIT:
        return crt_spawn_wait(process);
    case CRT_P_OVERLAY: /* the new program is a process of its own: this one is over */
        ke_process_exit(0);
    case CRT_P_DETACH:
        ob_handle_close(win32_ob_handle(process));
        return 0;
    default:
        return (intptr_t)process;
    }
}

intptr_t crt_spawn_wide(int mode, bool search, const crt_wchar *name,
                        const crt_wchar *const *arguments, const crt_wchar *const *environment)
{
    struct crt_spawn how = {.detached = mode == CRT_P_DETACH};
    if (name == NULL || name[0] == 0 || arguments == NULL || arguments[0] == NULL || mode < 0 ||
        mode > CRT_P_DETACH) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    crt_wchar *program = find_program(name, search);
    crt_wchar *line = program != NULL ? join(arguments, ' ') : NULL;
    crt_wchar *block = line != NULL && environment != NULL ? join(environment, 0) : NULL;
    void *process = NULL;
    how.application = program;
    how.line = line;
    how.environment = block;
    if (line != NULL && (environment == NULL || block != NULL)) {
        process = crt_spawn(&how);
    }
    free(program);
    free(line);
    free(block);
    return process != NULL ? finish(mode, process) : -1;
}

static void free_wide(crt_wchar **strings)
{
    for (size_t i = 0; strings != NULL && strings[i] != NULL; i++) {
        free(strings[i]);
    }
    free(strings);
}

/* NULL for NULL, and with errno set when there is no memory. */
static crt_wchar **widen_all(const char *const *strings)
{
    size_t count = 0;
    while (strings != NULL && strings[count] != NULL) {
        count++;
    }
    crt_wchar **out = strings != NULL ? calloc(count + 1, sizeof(*out)) : NULL;
    for (size_t i = 0; out != NULL && i < count; i++) {
        if (!win32_widen(strings[i], &out[i])) {
            free_wide(out);
            out = NULL;
        }
    }
    if (strings != NULL && out == NULL) {
        crt_set_errno(CRT_ENOMEM);
    }
    return out;
}

intptr_t crt_spawn_narrow(int mode, bool search, const char *name, const char *const *arguments,
                          const char *const *environment)
{
    crt_wchar *wide_name = NULL;
    crt_wchar **wide_arguments = widen_all(arguments), **wide_environment = widen_all(environment);
    intptr_t result = -1;
    if (win32_widen_path(name, &wide_name) && (arguments == NULL || wide_arguments != NULL) &&
        (environment == NULL || wide_environment != NULL)) {
        result = crt_spawn_wide(mode, search, wide_name, (const crt_wchar *const *)wide_arguments,
                                (const crt_wchar *const *)wide_environment);
    }
    free(wide_name);
    free_wide(wide_arguments);
    free_wide(wide_environment);
    return result;
}
