/*
 * system, _popen and _cwait: commands.
 *
 * Windows hands them to the command interpreter (COMSPEC, else cmd.exe). Where there is none, a
 * command that needs none, a program with its arguments, is started directly; for any other errno
 * is ENOENT, as when Windows does not find the interpreter.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/ob/process.h"
#include "loader/win32/crt/fd.h"
#include "loader/win32/crt/spawn.h"
#include "loader/win32/crt/stream.h"
#include "loader/win32/file.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"

enum { CRT_ECHILD = 10, MAX_POPEN = 64 };

/* ---- the interpreter ----------------------------------------------------------------------------
 */

/* What a command interpreter would not just pass on. */
static bool needs_interpreter(const crt_wchar *command)
{
    static const crt_wchar special[] = {'|', '<', '>', '&', '^', '%', '\n', 0};
    for (; *command != 0; command++) {
        if (win32_wchr(special, *command) != NULL) {
            return true;
        }
    }
    return false;
}

static crt_wchar *interpreter(void)
{
    static const crt_wchar name[] = {'C', 'O', 'M', 'S', 'P', 'E', 'C'};
    return win32_getenv(name, CRT_COUNT(name));
}

/* "INTERPRETER" /c COMMAND */
static crt_wchar *interpreter_line(const crt_wchar *program, const crt_wchar *command)
{
    static const crt_wchar option[] = {'"', ' ', '/', 'c', ' '};
    size_t first = crt_wlen(program), second = crt_wlen(command);
    crt_wchar *line = calloc(first + second + 8, sizeof(*line));
    if (line != NULL) {
        line[0] = '"';
        memcpy(line + 1, program, first * sizeof(*line));
        memcpy(line + 1 + first, option, sizeof(option));
        memcpy(line + 1 + first + CRT_COUNT(option), command, second * sizeof(*line));
    }
    return line;
}

/* The process handle, or NULL with errno set. `how` brings the standard handles. */
static void *start_command(const crt_wchar *command, struct crt_spawn *how)
{
    crt_wchar *program = interpreter();
    void *process = NULL;
    if (program != NULL) {
        crt_wchar *line = interpreter_line(program, command);
        how->application = program;
        how->line = line;
        process = line != NULL ? crt_spawn(how) : NULL;
        free(line);
    } else if (needs_interpreter(command)) {
        crt_set_errno(CRT_ENOENT);
    } else {
        how->application = NULL;
        how->line = command;
        process = crt_spawn(how);
    }
    free(program);
    return process;
}

static WINCDECL_DEF int crt__wsystem(const crt_wchar *command)
{
    struct crt_spawn how = {.application = NULL};
    if (command == NULL) { /* is there an interpreter? */
        crt_wchar *program = interpreter();
        bool found = program != NULL;
        free(program);
        return found;
    }
    void *process = start_command(command, &how);
    return process != NULL ? crt_spawn_wait(process) : -1;
}

static WINCDECL_DEF int crt_system(const char *command)
{
    crt_wchar *wide = NULL;
    int result = -1;
    if (win32_widen(command, &wide)) {
        result = crt__wsystem(wide);
    }
    free(wide);
    return result;
}

/* The action is ignored, as on Windows. */
static WINCDECL_DEF intptr_t crt__cwait(int *status, intptr_t process, int action)
{
    struct ob_object *object;
    if (!nt_ok(ob_handle_get(win32_ob_handle((HANDLE)process), &ob_process_type, &object, NULL))) {
        crt_set_errno(CRT_ECHILD);
        return -1;
    }
    ob_object_unref(object);
    int code = crt_spawn_wait((HANDLE)process);
    if (status != NULL) {
        *status = code;
    }
    return process;
}

/* ---- pipes to commands --------------------------------------------------------------------------
 */

static struct {
    struct crt_file *file;
    void *process;
} open_pipes[MAX_POPEN];
static pthread_mutex_t pipes_lock = PTHREAD_MUTEX_INITIALIZER;

static bool remember(struct crt_file *file, void *process)
{
    bool found = false;
    pthread_mutex_lock(&pipes_lock);
    for (size_t i = 0; i < MAX_POPEN && !found; i++) {
        if (open_pipes[i].file == NULL) {
            open_pipes[i].file = file;
            open_pipes[i].process = process;
            found = true;
        }
    }
    pthread_mutex_unlock(&pipes_lock);
    return found;
}

/* NULL when the stream is none of _popen's. */
static void *forget(const struct crt_file *file)
{
    void *process = NULL;
    pthread_mutex_lock(&pipes_lock);
    for (size_t i = 0; i < MAX_POPEN; i++) {
        if (open_pipes[i].file == file) {
            process = open_pipes[i].process;
            open_pipes[i].file = NULL;
        }
    }
    pthread_mutex_unlock(&pipes_lock);
    return process;
}

/* The command with its end of the pipe; that end is closed here. */
static void *start_with_end(const crt_wchar *command, int stream, int end)
{
    struct crt_spawn how = {.application = NULL};
    HANDLE handle =
        win32_file_from_fd(end, stream == 0 ? GENERIC_READ : (uint32_t)GENERIC_WRITE, true);
    if (handle == INVALID_HANDLE_VALUE) {
        close(end);
        crt_set_errno(CRT_ENOMEM);
        return NULL;
    }
    how.std[stream] = handle;
    void *process = start_command(command, &how);
    ob_handle_close(win32_ob_handle(handle));
    return process;
}

static struct crt_file *open_stream(int host, const crt_wchar *mode)
{
    int fd = crt_fd_enter(host, win32_wchr(mode, 'b') != NULL ? CRT_O_BINARY : CRT_O_TEXT);
    if (fd < 0) {
        close(host);
        return NULL;
    }
    struct crt_file *file = crt_stream_from_fd(fd, mode);
    if (file == NULL) {
        crt_fd_close(fd);
    }
    return file;
}

static WINCDECL_DEF struct crt_file *crt__wpopen(const crt_wchar *command, const crt_wchar *mode)
{
    int ends[2];
    if (command == NULL || mode == NULL || (mode[0] != 'r' && mode[0] != 'w')) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        crt_fail_from_host();
        return NULL;
    }
    int mine = mode[0] == 'w';
    struct crt_file *file = open_stream(ends[mine], mode);
    if (file == NULL) {
        close(ends[!mine]);
        return NULL;
    }
    void *process = start_with_end(command, !mine, ends[!mine]);
    if (process == NULL || !remember(file, process)) {
        if (process != NULL) {
            ob_handle_close(win32_ob_handle(process));
            crt_set_errno(CRT_EMFILE);
        }
        crt_stream_close(file);
        return NULL;
    }
    return file;
}

static WINCDECL_DEF struct crt_file *crt__popen(const char *command, const char *mode)
{
    crt_wchar *wide_command = NULL, *wide_mode = NULL;
    struct crt_file *file = NULL;
    if (win32_widen(command, &wide_command) && win32_widen(mode, &wide_mode)) {
        file = crt__wpopen(wide_command, wide_mode);
    }
    free(wide_command);
    free(wide_mode);
    return file;
}

static WINCDECL_DEF int crt__pclose(struct crt_file *file)
{
    void *process = file != NULL ? forget(file) : NULL;
    if (process == NULL) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    crt_stream_close(file);
    return crt_spawn_wait(process);
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(system), CRT_FN(_wsystem), CRT_FN(_cwait),
    CRT_FN(_popen), CRT_FN(_wpopen),  CRT_FN(_pclose),
};
CRT_FAMILY(crt_system_family, functions);
