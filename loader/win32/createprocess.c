/*
 * CreateProcess: what the caller wants, put into the letter to the child (child.h).
 */
#include "loader/win32/createprocess.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "loader/ke/teb.h"
#include "loader/mm/section.h"
#include "loader/win32/child.h"
#include "loader/win32/codepage.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/filename.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"

enum { MAX_LINE = 32767, ALL_ACCESS = 0x1FFFFF };

struct launch {
    const struct win32_create *how;
    struct child_image image;
    struct child_letter letter;
    struct child_start start;
    struct win32_file *streams[3]; /* references */
    uint32_t room;                 /* places in letter.handles */
    WCHAR *line, *environment;
    uint8_t *runtime;
    char *directory;
};

/* ---- handles ------------------------------------------------------------------------------------
 */

static struct child_handle *place(struct launch *launch)
{
    struct child_letter *letter = &launch->letter;
    if (letter->handle_count == launch->room) {
        uint32_t room = launch->room ? launch->room * 2 : 8;
        struct child_handle *grown = realloc(letter->handles, room * sizeof(*grown));
        if (!grown)
            return NULL;
        letter->handles = grown;
        launch->room = room;
    }
    return &letter->handles[letter->handle_count];
}

/* Objects of types that stay in their process are left out, as Windows leaves none. */
static nt_status pack(void *user, uint32_t handle, struct ob_object *object, uint32_t access,
                      uint32_t flags)
{
    struct launch *launch = user;
    for (uint32_t i = 0; i < launch->letter.handle_count; i++) {
        if (launch->letter.handles[i].handle == handle)
            return STATUS_SUCCESS;
    }
    struct child_handle *to = place(launch);
    if (!to)
        return STATUS_NO_MEMORY;
    *to = (struct child_handle){.handle = handle, .access = access, .flags = flags};
    nt_status status = ob_pack(object, &to->parcel, NULL);
    if (nt_ok(status))
        launch->letter.handle_count++;
    return status == (nt_status)STATUS_NOT_SUPPORTED ? STATUS_SUCCESS : status;
}

static nt_status pack_handle(struct launch *launch, uint32_t handle, bool must_inherit)
{
    struct ob_object *object;
    uint32_t access, flags = 0;
    nt_status status = ob_handle_flags(handle, 0, 0, &flags);
    if (nt_ok(status) && must_inherit && !(flags & 1))
        status = STATUS_INVALID_PARAMETER;
    if (nt_ok(status))
        status = ob_handle_get(handle, NULL, &object, &access);
    if (!nt_ok(status))
        return status;
    status = pack(launch, handle, object, access, flags | 1);
    ob_object_unref(object);
    return status;
}

static const struct attribute_list *attributes_of(const struct win32_create *how)
{
    bool extended = how->flags & EXTENDED_STARTUPINFO_PRESENT;
    return extended ? ((const struct startup_info_ex *)how->startup)->attributes : NULL;
}

/* The list that PROC_THREAD_ATTRIBUTE_HANDLE_LIST names, or every handle that is inheritable. */
static uint32_t inherit_handles(struct launch *launch)
{
    const struct win32_create *how = launch->how;
    const void *value;
    SIZE_T size;
    if (!win32_attribute(attributes_of(how), ATTRIBUTE_HANDLE_LIST, &value, &size))
        return how->inherit ? win32_error_of_status(ob_handle_each(false, pack, launch)) : 0;
    if (!how->inherit)
        return ERROR_INVALID_PARAMETER;
    nt_status status = STATUS_SUCCESS;
    for (SIZE_T i = 0; i < size / sizeof(HANDLE) && nt_ok(status); i++)
        status = pack_handle(launch, win32_ob_handle(((const HANDLE *)value)[i]), true);
    return win32_error_of_status(status);
}

/* ---- standard handles ---------------------------------------------------------------------------
 */

static bool is_packed(const struct launch *launch, uint32_t handle)
{
    for (uint32_t i = 0; i < launch->letter.handle_count; i++) {
        if (launch->letter.handles[i].handle == handle)
            return true;
    }
    return false;
}

static bool is_inherited(const struct launch *launch, uint32_t handle)
{
    uint32_t flags;
    SIZE_T size;
    const void *value;
    if (is_packed(launch, handle))
        return true;
    bool listed = win32_attribute(attributes_of(launch->how), ATTRIBUTE_HANDLE_LIST, &value, &size);
    return launch->how->inherit && !listed && nt_ok(ob_handle_flags(handle, 0, 0, &flags)) &&
           (flags & 1);
}

/* Makes the file behind a handle stream `i` of the child. */
static void give_stream(struct launch *launch, int i, HANDLE handle)
{
    struct win32_file *file;
    if (!handle || !nt_ok(win32_file_get(handle, 0, &file)))
        return;
    launch->streams[i] = file;
    launch->start.streams[i] = file->fd;
    launch->letter.look.flags |= (uint32_t)CHILD_STD_STREAM << i;
}

/* Those of STARTUPINFO: they are the child's if it inherits them. */
static void use_chosen(struct launch *launch)
{
    const struct startup_info *startup = launch->how->startup;
    const HANDLE handles[] = {startup->hStdInput, startup->hStdOutput, startup->hStdError};
    for (int i = 0; i < 3; i++) {
        uint32_t handle = win32_ob_handle(handles[i]);
        launch->letter.look.std[i] = handle;
        if (is_inherited(launch, handle))
            give_stream(launch, i, handles[i]);
    }
}

/* This process's own: a console child gets them whether or not handles are inherited. */
static nt_status share_own(struct launch *launch)
{
    const struct ke_process_parameters *own = ke_peb()->ProcessParameters;
    const HANDLE handles[] = {own->StandardInput, own->StandardOutput, own->StandardError};
    launch->start.streams[2] = 2; /* for what peldr itself has to say */
    for (int i = 0; i < 3; i++) {
        uint32_t handle = win32_ob_handle(handles[i]);
        launch->letter.look.std[i] = handle;
        give_stream(launch, i, handles[i]);
        nt_status status = launch->streams[i] ? pack_handle(launch, handle, false) : STATUS_SUCCESS;
        if (!nt_ok(status))
            return status;
    }
    return STATUS_SUCCESS;
}

/* A process without a console has no handles; one whose window is hidden writes to nowhere. */
static uint32_t choose_streams(struct launch *launch)
{
    DWORD flags = launch->how->flags;
    for (int i = 0; i < 3; i++)
        launch->start.streams[i] = -1;
    if (launch->how->startup->dwFlags & STARTF_USESTDHANDLES) {
        use_chosen(launch);
    } else if (flags & CREATE_NO_WINDOW) {
        launch->letter.look.flags |= 7u * CHILD_STD_STREAM;
    } else if (!(flags & DETACHED_PROCESS)) {
        return win32_error_of_status(share_own(launch));
    }
    return ERROR_SUCCESS;
}

/* ---- texts --------------------------------------------------------------------------------------
 */

static void set_text(struct launch *launch, enum child_text which, const void *bytes, size_t size)
{
    launch->letter.texts[which].bytes = bytes;
    launch->letter.texts[which].size = (uint32_t)size;
}

static void set_wide(struct launch *launch, enum child_text which, const WCHAR *text)
{
    if (text)
        set_text(launch, which, text, win32_wlen(text) * sizeof(WCHAR));
}

/* The line as it is, but a program's name with blanks that nobody has quoted is quoted. */
static uint32_t compose_line(struct launch *launch)
{
    const WCHAR *line = launch->how->line ? launch->how->line : launch->how->application;
    size_t length = win32_wlen(line), quote = launch->image.quote, skip = 0;
    if (length > MAX_LINE - 1)
        return ERROR_FILENAME_EXCED_RANGE;
    WCHAR *out = calloc(length + 3, sizeof(*out));
    if (!out)
        return ERROR_NOT_ENOUGH_MEMORY;
    launch->line = out;
    if (quote) {
        while (line[skip] == ' ' || line[skip] == '\t')
            skip++;
        *out++ = '"';
        memcpy(out, line + skip, (quote - skip) * sizeof(WCHAR));
        out += quote - skip;
        *out++ = '"';
    }
    memcpy(out, line + quote, (length - quote) * sizeof(WCHAR));
    set_wide(launch, CHILD_LINE, launch->line);
    return ERROR_SUCCESS;
}

static WCHAR *widen_block(const char *block, size_t *units)
{
    size_t size = 0;
    while (block[size])
        size += strlen(block + size) + 1;
    size += size ? 1 : 2;
    WCHAR *out = malloc(size * sizeof(*out));
    if (out)
        win32_to_wide(CP_ACP, false, block, size, out, size, units);
    return out;
}

static WCHAR *copy_block(const WCHAR *block, size_t *units)
{
    size_t size = 0;
    while (block[size])
        size += win32_wlen(block + size) + 1;
    *units = size + (size ? 1 : 2);
    WCHAR *out = malloc(*units * sizeof(*out));
    if (out)
        memcpy(out, block, *units * sizeof(*out));
    return out;
}

static uint32_t compose_environment(struct launch *launch)
{
    const void *block = launch->how->environment;
    size_t units = 0;
    if (!block)
        launch->environment = win32_environment_copy(&units);
    else if (launch->how->flags & CREATE_UNICODE_ENVIRONMENT)
        launch->environment = copy_block(block, &units);
    else
        launch->environment = widen_block(block, &units);
    set_text(launch, CHILD_ENVIRONMENT, launch->environment, units * sizeof(WCHAR));
    return launch->environment ? ERROR_SUCCESS : ERROR_NOT_ENOUGH_MEMORY;
}

/* The process parameters count in characters: an odd byte gets company. */
static uint32_t compose_runtime(struct launch *launch)
{
    const struct startup_info *startup = launch->how->startup;
    size_t size = startup->lpReserved2 ? startup->cbReserved2 : 0;
    launch->runtime = calloc(1, size + 2);
    if (!launch->runtime)
        return ERROR_NOT_ENOUGH_MEMORY;
    if (size)
        memcpy(launch->runtime, startup->lpReserved2, size);
    set_text(launch, CHILD_RUNTIME, launch->runtime, size + size % 2);
    return ERROR_SUCCESS;
}

static void compose_look(struct launch *launch)
{
    const struct startup_info *s = launch->how->startup;
    const uint32_t look[] = {s->dwX,           s->dwY,           s->dwXSize,         s->dwYSize,
                             s->dwXCountChars, s->dwYCountChars, s->dwFillAttribute, s->dwFlags,
                             s->wShowWindow};
    memcpy(launch->letter.look.look, look, sizeof(look));
    launch->letter.look.flags |= (uint32_t)mm_windows() << CHILD_WINDOWS_AT;
    if (launch->how->flags & CREATE_SUSPENDED_PROCESS)
        launch->letter.look.flags |= CHILD_SUSPENDED;
    if (launch->how->flags & CREATE_NEW_PROCESS_GROUP)
        launch->letter.look.flags |= CHILD_NO_CTRL_C;
    set_wide(launch, CHILD_TITLE, s->lpTitle);
    set_wide(launch, CHILD_DESKTOP, s->lpDesktop);
    set_text(launch, CHILD_IMAGE, launch->image.path, strlen(launch->image.path) + 1);
}

static uint32_t compose_directory(struct launch *launch)
{
    struct stat st;
    const WCHAR *directory = launch->how->directory;
    if (!directory)
        return ERROR_SUCCESS;
    if (!nt_ok(win32_host_path(directory, true, &launch->directory)) ||
        stat(launch->directory, &st) < 0 || !S_ISDIR(st.st_mode))
        return ERROR_DIRECTORY;
    launch->start.directory = launch->directory;
    return ERROR_SUCCESS;
}

static uint32_t compose(struct launch *launch)
{
    uint32_t (*const steps[])(struct launch *) = {compose_directory,   compose_line,
                                                  compose_environment, compose_runtime,
                                                  inherit_handles,     choose_streams};
    uint32_t error = ERROR_SUCCESS;
    compose_look(launch);
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps) && !error; i++)
        error = steps[i](launch);
    return error;
}

static void release(struct launch *launch)
{
    for (int i = 0; i < 3; i++) {
        if (launch->streams[i])
            win32_file_put(launch->streams[i]);
    }
    child_letter_free(&launch->letter);
    child_image_free(&launch->image);
    free(launch->line);
    free(launch->environment);
    free(launch->runtime);
    free(launch->directory);
}

/* ---- the new process ----------------------------------------------------------------------------
 */

static uint32_t make_handles(const struct win32_create *how, struct ob_object *process,
                             struct process_information *out)
{
    struct ob_object *thread =
        child_thread_create(process, out->dwThreadId, how->flags & CREATE_SUSPENDED_PROCESS);
    uint32_t for_process = thread ? ob_handle_create(process, ALL_ACCESS, how->inherit_process) : 0;
    uint32_t for_thread =
        for_process ? ob_handle_create(thread, ALL_ACCESS, how->inherit_thread) : 0;
    if (thread)
        ob_object_unref(thread);
    if (!for_thread && for_process)
        ob_handle_close(for_process);
    out->hProcess = win32_handle(for_process);
    out->hThread = win32_handle(for_thread);
    return for_thread ? ERROR_SUCCESS : ERROR_NOT_ENOUGH_MEMORY;
}

static void set_priority(DWORD flags, uint32_t process_id)
{
    int nice_value;
    if (win32_priority_nice(flags & 0xC1E0, &nice_value))
        setpriority(PRIO_PROCESS, process_id, nice_value);
}

static uint32_t launch_it(struct launch *launch, struct process_information *out)
{
    struct ob_object *process;
    uint32_t error = compose(launch);
    launch->start.image = &launch->image;
    launch->start.detached =
        launch->how->flags & (DETACHED_PROCESS | CREATE_NEW_CONSOLE | CREATE_NO_WINDOW);
    if (!error)
        error = child_start(&launch->start, &launch->letter, &process, &out->dwProcessId,
                            &out->dwThreadId);
    if (error)
        return error;
    set_priority(launch->how->flags, out->dwProcessId);
    error = make_handles(launch->how, process, out);
    ob_object_unref(process);
    return error;
}

/* A parent that is not this process would have to be asked to start the child. */
static uint32_t check_parent(const struct win32_create *how)
{
    const void *value;
    SIZE_T size;
    if (!win32_attribute(attributes_of(how), ATTRIBUTE_PARENT_PROCESS, &value, &size))
        return ERROR_SUCCESS;
    return win32_is_this_process(*(const HANDLE *)value) ? ERROR_SUCCESS : ERROR_NOT_SUPPORTED;
}

static uint32_t check(const struct win32_create *how)
{
    const DWORD consoles = DETACHED_PROCESS | CREATE_NEW_CONSOLE;
    if (!how->application && !(how->line && how->line[0]))
        return ERROR_INVALID_PARAMETER;
    if ((how->flags & consoles) == consoles)
        return ERROR_INVALID_PARAMETER;
    if (how->flags & (DEBUG_PROCESS | DEBUG_ONLY_THIS_PROCESS))
        return ERROR_NOT_SUPPORTED;
    if ((how->flags & EXTENDED_STARTUPINFO_PRESENT) &&
        how->startup->cb < sizeof(struct startup_info_ex))
        return ERROR_INVALID_PARAMETER;
    return check_parent(how);
}

uint32_t win32_create_process(const struct win32_create *how, struct process_information *out)
{
    struct launch launch = {.how = how, .letter = {.record_fd = -1}};
    memset(out, 0, sizeof(*out));
    uint32_t error = check(how);
    if (!error)
        error = child_find(how->application, how->line, &launch.image);
    if (!error)
        error = launch_it(&launch, out);
    release(&launch);
    if (error)
        memset(out, 0, sizeof(*out));
    return error;
}
