/*
 * Other processes, seen from a host program: CreateProcess with children run by the peldr command
 * (PELDR_TEST_COMMAND), opening, information, ends. The children are samples/process/process.c;
 * what images see of each other is tested by its cases (test_sample_exceptions.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/ke/teb.h"
#include "loader/win32/createprocess.h"
#include "loader/win32/filename.h"
#include "loader/win32/otherprocess.h"
#include "loader/win32/strings.h"
#include "loader/win32/waitable.h"
#include "tests/samples.h"
#include "tests/unit/tempdir.h"
#include "tests/unit/wide.h"
#include "tests/unit/win32_fn.h"

K32(CreateProcessW, BOOL, const WCHAR *application, WCHAR *line, void *process, void *thread,
    BOOL inherit, DWORD flags, void *environment, const WCHAR *directory,
    struct startup_info *startup, struct process_information *out)
K32(CreateEventA, HANDLE, const SECURITY_ATTRIBUTES *attributes, BOOL manual, BOOL initial,
    const char *name)
K32(WaitForSingleObject, DWORD, HANDLE handle, DWORD milliseconds)
K32(GetExitCodeProcess, BOOL, HANDLE process, DWORD *code)
K32(OpenProcess, HANDLE, DWORD access, BOOL inherit, DWORD id)
K32(TerminateProcess, BOOL, HANDLE process, UINT code)
K32(GetProcessId, DWORD, HANDLE process)
K32(GetExitCodeThread, BOOL, HANDLE thread, DWORD *code)
K32(GetThreadId, DWORD, HANDLE thread)
K32(ResumeThread, DWORD, HANDLE thread)
K32(CloseHandle, BOOL, HANDLE handle)
K32(CreateFileW, HANDLE, const WCHAR *name, DWORD access, DWORD share, void *security,
    DWORD disposition, DWORD flags, HANDLE template_file)
K32(K32EnumProcesses, BOOL, DWORD *ids, DWORD size, DWORD *needed)
K32(InitializeProcThreadAttributeList, BOOL, void *list, DWORD count, DWORD flags, SIZE_T *size)
K32(UpdateProcThreadAttribute, BOOL, void *list, DWORD flags, DWORD_PTR attribute,
    const void *value, SIZE_T size, void *previous, SIZE_T *returned)
K32(GetPriorityClass, DWORD, HANDLE process)
K32(IsWow64Process, BOOL, HANDLE process, BOOL *result)
K32(SetEnvironmentVariableA, BOOL, const char *name, const char *value)
NT(NtOpenProcess, nt_status, HANDLE *out, ULONG access, const void *attributes, const void *id)
NT(NtQueryInformationProcess, nt_status, HANDLE process, ULONG class, void *out, ULONG size,
   ULONG *returned)

/* Some of these have no name in pe/status.h. */
#define assert_status(got, expected) assert_int_equal((got), (uint32_t)(expected))

static char sample[SAMPLE_PATH_MAX]; /* host path of process.exe */

/* ---- starting -----------------------------------------------------------------------------------
 */

struct start {
    const char *application, *line;
    BOOL inherit;
    DWORD flags;
    struct startup_info *startup;
};

static BOOL start(const struct start *how, struct process_information *child)
{
    struct startup_info none = {.cb = sizeof none};
    WCHAR *application = how->application ? win32_windows_path(how->application) : NULL;
    BOOL ok = CreateProcessW(application, how->line ? W(how->line) : NULL, NULL, NULL, how->inherit,
                             how->flags, NULL, NULL, how->startup ? how->startup : &none, child);
    free(application);
    return ok;
}

/* process.exe with these words on its command line. */
static struct process_information start_sample(const char *words, BOOL inherit, DWORD flags)
{
    char line[1024];
    struct process_information child;
    snprintf(line, sizeof line, "process child %s", words);
    struct start how = {sample, line, inherit, flags | CREATE_NO_WINDOW, NULL};
    if (!start(&how, &child))
        fail_msg("%s: error %u", line, ke_last_error());
    return child;
}

static DWORD end_of(const struct process_information *child)
{
    DWORD code = 0;
    assert_int_equal(WaitForSingleObject(child->hProcess, 60000), 0);
    assert_true(GetExitCodeProcess(child->hProcess, &code));
    return code;
}

static void forget(const struct process_information *child)
{
    assert_true(CloseHandle(child->hProcess));
    assert_true(CloseHandle(child->hThread));
}

static void exit_codes_have_32_bits(void **state)
{
    static const struct {
        const char *words;
        DWORD code;
    } rows[] = {
        {"exit 0", 0}, {"exit 256", 256}, {"exit 0xC0000005", 0xC0000005}, {"exit 259", 259}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct process_information child = start_sample(rows[i].words, FALSE, 0);
        assert_int_equal(end_of(&child), rows[i].code);
        forget(&child);
    }
}

static void a_host_that_ignores_its_children_learns_their_codes(void **state)
{
    signal(SIGCHLD, SIG_IGN);
    struct process_information child = start_sample("exit 0x1234", FALSE, 0);
    DWORD code = end_of(&child);
    signal(SIGCHLD, SIG_DFL);
    assert_int_equal(code, 0x1234);
    forget(&child);
}

static void children_are_reaped_whoever_forgets_them(void **state)
{
    siginfo_t info;
    for (int i = 0; i < 10; i++) {
        struct process_information child = start_sample("exit 1", FALSE, 0);
        forget(&child);
    }
    /* Only looks: taking a status is peldr's business. */
    for (int i = 0; i < 3000 && waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0; i++)
        usleep(10000);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void ends_from_outside(void **state)
{
    static const struct {
        int signal;
        DWORD code;
    } rows[] = {{SIGKILL, 1}, {SIGTERM, 1}, {SIGINT, 0xC000013A}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        DWORD code = 0;
        struct process_information child = start_sample("sleep", FALSE, 0);
        assert_true(GetExitCodeProcess(child.hProcess, &code));
        assert_int_equal(code, 259);
        assert_int_equal(kill((pid_t)child.dwProcessId, rows[i].signal), 0);
        assert_int_equal(end_of(&child), rows[i].code);
        assert_true(GetExitCodeThread(child.hThread, &code));
        assert_int_equal(code, rows[i].code);
        forget(&child);
    }
}

static void a_suspended_child_can_be_killed(void **state)
{
    struct process_information child = start_sample("exit 3", FALSE, CREATE_SUSPENDED_PROCESS);
    assert_int_equal(GetThreadId(child.hThread), child.dwThreadId);
    assert_int_equal(WaitForSingleObject(child.hThread, 50), 258);
    assert_int_equal(kill((pid_t)child.dwProcessId, SIGKILL), 0);
    assert_int_equal(end_of(&child), 1);
    assert_int_equal(ResumeThread(child.hThread), 1); /* as it was last */
    assert_int_equal(ResumeThread(child.hThread), 0);
    forget(&child);
}

/* More descriptors than one message between processes can carry. */
static void hundreds_of_handles_are_inherited(void **state)
{
    enum { COUNT = 600 };
    static HANDLE events[COUNT];
    SECURITY_ATTRIBUTES inherit = {sizeof inherit, NULL, TRUE};
    char words[64];
    for (int i = 0; i < COUNT; i++) {
        events[i] = CreateEventA(&inherit, TRUE, FALSE, NULL);
        assert_non_null(events[i]);
    }
    for (int i = 0; i < COUNT; i += COUNT - 1) {
        snprintf(words, sizeof words, "listed %x %x", win32_ob_handle(events[i]),
                 win32_ob_handle(events[i / 2]));
        struct process_information child = start_sample(words, TRUE, 0);
        assert_int_equal(end_of(&child), 0);
        forget(&child);
        assert_int_equal(WaitForSingleObject(events[i], 0), 0);
        assert_int_equal(WaitForSingleObject(events[i / 2], 0), 0);
    }
    assert_int_equal(WaitForSingleObject(events[1], 0), 258);
    for (int i = 0; i < COUNT; i++)
        CloseHandle(events[i]);
}

/* ---- what is refused ----------------------------------------------------------------------------
 */

/* A copy of the sample with one 16-bit field changed: `where` behind the PE signature. */
static const char *changed_sample(const char *name, unsigned where, uint16_t value)
{
    size_t size;
    uint8_t *bytes = sample_read(sample, &size);
    uint32_t lfanew;
    memcpy(&lfanew, bytes + 0x3C, sizeof lfanew);
    memcpy(bytes + lfanew + where, &value, sizeof value);
    tempdir_write(name, bytes, size);
    free(bytes);
    return tempdir_path(name);
}

static void files_that_are_no_programs(void **state)
{
    enum { MACHINE = 4, CHARACTERISTICS = 22, SUBSYSTEM = 24 + 68 };
    static const struct {
        unsigned where;
        uint16_t value;
        DWORD error;
    } rows[] = {
        {MACHINE, sizeof(void *) == 8 ? 0xAA64 : 0x1C4, ERROR_EXE_MACHINE_TYPE_MISMATCH}, /* ARM */
        {SUBSYSTEM, 1, ERROR_CHILD_NOT_COMPLETE},        /* native */
        {CHARACTERISTICS, 0x2022, ERROR_BAD_EXE_FORMAT}, /* a DLL */
        {0, 0, ERROR_BAD_EXE_FORMAT},                    /* no signature */
    };
    struct process_information child;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct start how = {changed_sample("changed.exe", rows[i].where, rows[i].value), NULL};
        assert_fails(start(&how, &child), rows[i].error);
        assert_null(child.hProcess);
    }
    tempdir_write("empty.exe", "", 0);
    struct start empty = {tempdir_path("empty.exe"), NULL};
    assert_fails(start(&empty, &child), ERROR_BAD_EXE_FORMAT);
    struct start native = {"/proc/self/exe", NULL}; /* a Linux program */
    assert_fails(start(&native, &child), ERROR_BAD_EXE_FORMAT);
    struct start nothing = {NULL, ""};
    assert_fails(start(&nothing, &child), ERROR_INVALID_PARAMETER);
    struct start debugged = {sample, NULL, FALSE, DEBUG_PROCESS, NULL};
    assert_fails(start(&debugged, &child), ERROR_NOT_SUPPORTED);
}

static void an_image_that_is_being_written(void **state)
{
    enum { SHARE_ALL = 7, GENERIC_WRITE_BIT = 0x40000000, OPEN = 3 };
    struct process_information child;
    sample_copy(sample, tempdir_path("busy.exe"));
    WCHAR *name = win32_windows_path(tempdir_path("busy.exe"));
    HANDLE writer = CreateFileW(name, GENERIC_WRITE_BIT, SHARE_ALL, NULL, OPEN, 0, NULL);
    free(name);
    assert_ptr_not_equal(writer, INVALID_HANDLE_VALUE);
    struct start how = {tempdir_path("busy.exe"), "busy child exit 4", FALSE, 0, NULL};
    assert_fails(start(&how, &child), ERROR_SHARING_VIOLATION);
    CloseHandle(writer);
    assert_true(start(&how, &child));
    assert_int_equal(end_of(&child), 4);
    forget(&child);
}

static void a_command_line_has_a_limit(void **state)
{
    static WCHAR line[40000];
    struct startup_info startup = {.cb = sizeof startup};
    struct process_information child;
    WCHAR *application = win32_windows_path(sample);
    const WCHAR *words = W("x child arguments ");
    size_t used = win32_wlen(words);
    memcpy(line, words, used * sizeof *line);
    for (size_t i = used; i < 32767; i++)
        line[i] = 'a';
    assert_fails(
        CreateProcessW(application, line, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &child),
        ERROR_FILENAME_EXCED_RANGE);
    line[32766] = 0;
    assert_true(CreateProcessW(application, line, NULL, NULL, FALSE, CREATE_NO_WINDOW, NULL, NULL,
                               &startup, &child));
    assert_int_equal(end_of(&child), 1); /* it has one argument */
    forget(&child);
    free(application);
}

/* Without the command there are no children, and the message says what to do. */
static void without_the_command(void **state)
{
    struct process_information child;
    struct start how = {sample, NULL};
    char *command = strdup(getenv("PELDR_COMMAND")), *path = strdup(getenv("PATH"));
    char text[1024] = "";
    int ends[2], saved = dup(2);
    assert_int_equal(pipe(ends), 0);
    setenv("PELDR_COMMAND", "/nonexistent/peldr", 1);
    setenv("PATH", "/nonexistent:relative", 1);
    dup2(ends[1], 2);
    ke_set_last_error(0);
    BOOL ok = start(&how, &child);
    dup2(saved, 2);
    setenv("PELDR_COMMAND", command, 1);
    setenv("PATH", path, 1);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    close(ends[1]);
    close(saved);
    free(command);
    free(path);
    assert_false(ok);
    assert_int_equal(ke_last_error(), ERROR_FILE_NOT_FOUND);
    assert_non_null(strstr(text, "PELDR_COMMAND"));
}

/* A command that is no peldr: it says nothing, and is gone afterwards. */
static void a_command_that_does_not_answer(void **state)
{
    struct process_information child;
    struct start how = {sample, NULL};
    char *command = strdup(getenv("PELDR_COMMAND"));
    const char *scripts[] = {"#!/bin/sh\nexit 0\n",
                             "#!/bin/sh\nhead -c 8 <&3 >/dev/null\nkill -9 $$\n"};
    tempdir_mkdir("bin");
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        for (int word = 0; word < 2; word++) {
            const char *name = word ? "bin/peldr32" : "bin/peldr";
            tempdir_write(name, scripts[i], strlen(scripts[i]));
            chmod(tempdir_path(name), 0755);
        }
        setenv("PELDR_COMMAND", tempdir_path("bin/peldr"), 1);
        assert_fails(start(&how, &child), ERROR_GEN_FAILURE);
    }
    setenv("PELDR_COMMAND", command, 1);
    free(command);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void attribute_lists(void **state)
{
    _Alignas(16) char list[256], small[8];
    HANDLE handles[] = {NULL};
    SIZE_T size = 0;
    assert_fails(InitializeProcThreadAttributeList(NULL, 2, 0, &size), ERROR_INSUFFICIENT_BUFFER);
    assert_in_range(size, 1, sizeof list);
    SIZE_T tiny = sizeof small;
    assert_fails(InitializeProcThreadAttributeList(small, 2, 0, &tiny), ERROR_INSUFFICIENT_BUFFER);
    assert_fails(InitializeProcThreadAttributeList(list, 1, 1, &size), ERROR_INVALID_PARAMETER);
    size = sizeof list;
    assert_true(InitializeProcThreadAttributeList(list, 1, 0, &size));
    assert_fails(UpdateProcThreadAttribute(list, 0, 0x12345, handles, sizeof handles, NULL, NULL),
                 ERROR_NOT_SUPPORTED);
    assert_fails(UpdateProcThreadAttribute(list, 0, ATTRIBUTE_HANDLE_LIST, handles, 3, NULL, NULL),
                 ERROR_BAD_LENGTH);
    assert_fails(UpdateProcThreadAttribute(list, 0, ATTRIBUTE_HANDLE_LIST, handles, 0, NULL, NULL),
                 ERROR_BAD_LENGTH);
    assert_true(UpdateProcThreadAttribute(list, 0, ATTRIBUTE_HANDLE_LIST, handles, sizeof handles,
                                          NULL, NULL));
    assert_fails(UpdateProcThreadAttribute(list, 0, ATTRIBUTE_HANDLE_LIST, handles, sizeof handles,
                                           NULL, NULL),
                 ERROR_OBJECT_NAME_EXISTS);
    assert_true(UpdateProcThreadAttribute(list, 1, ATTRIBUTE_HANDLE_LIST, handles, sizeof handles,
                                          NULL, NULL));
    assert_fails(UpdateProcThreadAttribute(list, 0, ATTRIBUTE_PARENT_PROCESS, handles,
                                           sizeof(HANDLE), NULL, NULL),
                 ERROR_GEN_FAILURE); /* full */
}

/* ---- where programs are looked for --------------------------------------------------------------
 */

/* Runs `line` in the temporary directory, where the programs are: its exit code, or minus the
 * error. */
static long long run_line(const char *line)
{
    struct process_information child;
    struct start how = {NULL, line, FALSE, CREATE_NO_WINDOW, NULL};
    if (!start(&how, &child))
        return -(long long)ke_last_error();
    DWORD code = end_of(&child);
    forget(&child);
    return code;
}

static void a_line_names_its_program(void **state)
{
    static const struct {
        const char *line;
        long long outcome;
    } rows[] = {
        {"here child exit 5", 5},
        {"HERE.EXE child exit 5", 5},
        {"  here child exit 5", 99}, /* the program sees an empty name first */
        {"\"here\" child exit 5", 5},
        {".\\here child exit 5", 5},
        {"./here.exe child exit 5", 5},
        {"here. child exit 5", -2},
        {"onpath child exit 6", 6},
        {"onpath.exe child exit 6", 6},
        {".\\onpath child exit 6", -2},
        {"sub\\onpath child exit 6", 6},
        {"missing\\onpath child exit 6", -3},
        {"directory child exit 5", -2}, /* directory.exe is one */
        {"noext child exit 7", -2},
        {".\\noext child exit 7", 7},
        {"here", 99},
        {"sub\\<x>", -123},
    };
    char old[PATH_MAX], path[2 * PATH_MAX];
    assert_non_null(getcwd(old, sizeof old));
    tempdir_mkdir("sub");
    tempdir_mkdir("directory.exe");
    sample_copy(sample, tempdir_path("here.exe"));
    sample_copy(sample, tempdir_path("noext"));
    sample_copy(sample, tempdir_path("sub/onpath.exe"));
    WCHAR *sub = win32_windows_path(tempdir_path("sub"));
    snprintf(path, sizeof path, ";C:\\missing;%s", narrow(sub));
    free(sub);
    SetEnvironmentVariableA("PATH", path);
    assert_int_equal(chdir(tempdir), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        long long outcome = run_line(rows[i].line);
        if (outcome != rows[i].outcome)
            fail_msg("%s: %lld, not %lld", rows[i].line, outcome, rows[i].outcome);
    }
    SetEnvironmentVariableA("NoDefaultCurrentDirectoryInExePath", "1");
    assert_int_equal(run_line("here child exit 5"), -2);
    assert_int_equal(run_line("onpath child exit 6"), 6);
    SetEnvironmentVariableA("NoDefaultCurrentDirectoryInExePath", NULL);
    assert_int_equal(chdir(old), 0);
}

/* ---- looking at processes -----------------------------------------------------------------------
 */

static void only_processes_of_peldr_exist(void **state)
{
    const DWORD ids[] = {0, 1, (DWORD)getppid(), 0x7FFFFFFF, 0xFFFFFFFF};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        assert_fails(OpenProcess(PROCESS_ALL_ACCESS, FALSE, ids[i]), ERROR_INVALID_PARAMETER);
    HANDLE own = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, (DWORD)getpid());
    DWORD code;
    assert_non_null(own);
    assert_int_equal(GetProcessId(own), getpid());
    assert_true(GetExitCodeProcess(own, &code));
    assert_int_equal(code, 259);
    assert_fails(TerminateProcess(own, 1), ERROR_ACCESS_DENIED);
    assert_int_equal(WaitForSingleObject(CURRENT_PROCESS, 0), WIN32_WAIT_TIMEOUT);
    CloseHandle(own);
}

static void handles_of_other_things_are_refused(void **state)
{
    DWORD code;
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    const HANDLE bad[] = {NULL, event, (HANDLE)(uintptr_t)0x7FFFFFF0, CURRENT_THREAD};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_fails(GetExitCodeProcess(bad[i], &code), ERROR_INVALID_HANDLE);
        assert_fails(TerminateProcess(bad[i], 1), ERROR_INVALID_HANDLE);
        assert_fails(GetProcessId(bad[i]), ERROR_INVALID_HANDLE);
        assert_fails(GetPriorityClass(bad[i]), ERROR_INVALID_HANDLE);
    }
    CloseHandle(event);
}

static void children_are_listed(void **state)
{
    static DWORD ids[4096];
    DWORD needed = 0, count = 0;
    struct process_information child = start_sample("sleep", FALSE, 0);
    assert_true(K32EnumProcesses(ids, sizeof ids, &needed));
    for (DWORD i = 0; i < needed / sizeof *ids; i++)
        count += ids[i] == child.dwProcessId || ids[i] == (DWORD)getpid();
    assert_int_equal(count, 2);
    assert_true(K32EnumProcesses(ids, sizeof *ids, &needed));
    assert_int_equal(needed, sizeof *ids); /* as many as there was room for */
    assert_true(TerminateProcess(child.hProcess, 0));
    end_of(&child);
    forget(&child);
}

static void nt_functions(void **state)
{
    struct {
        ULONG length;
        HANDLE root;
        void *name;
        ULONG attributes;
        void *security[2];
    } attributes = {sizeof attributes, NULL, NULL, 0, {NULL, NULL}};
    struct {
        ULONG_PTR process, thread;
    } id = {0, 0};
    struct process_information child = start_sample("sleep", FALSE, CREATE_SUSPENDED_PROCESS);
    HANDLE handle;
    ULONG size, number;
    ULONG_PTR basic[6];
    int64_t times[4];
    _Alignas(8) char path[1024];
    id.process = child.dwProcessId;
    assert_status(NtOpenProcess(&handle, PROCESS_ALL_ACCESS, &attributes, &id), STATUS_SUCCESS);
    assert_status(NtQueryInformationProcess(handle, 0, basic, sizeof basic, &size), STATUS_SUCCESS);
    assert_int_equal(size, sizeof basic);
    assert_int_equal((DWORD)basic[0], 259);
    assert_int_not_equal(basic[1], 0); /* the PEB */
    assert_int_equal(basic[4], child.dwProcessId);
    assert_int_equal(basic[5], getpid());
    assert_status(NtQueryInformationProcess(handle, 0, basic, 3, NULL),
                  STATUS_INFO_LENGTH_MISMATCH);
    assert_status(NtQueryInformationProcess(handle, 4, times, sizeof times, NULL), STATUS_SUCCESS);
    assert_true(times[0] > 0 && times[1] == 0);
    assert_status(NtQueryInformationProcess(handle, 20, &number, sizeof number, NULL),
                  STATUS_SUCCESS);
    assert_status(NtQueryInformationProcess(handle, 43, path, sizeof path, &size), STATUS_SUCCESS);
    const UNICODE_STRING *name = (const UNICODE_STRING *)path;
    assert_non_null(strstr(narrow(name->Buffer), "process.exe"));
    assert_status(NtQueryInformationProcess(handle, 43, path, 20, &size),
                  STATUS_INFO_LENGTH_MISMATCH);
    assert_status(NtQueryInformationProcess(handle, 0x7777, path, 4, NULL),
                  STATUS_INVALID_INFO_CLASS);
    assert_true(TerminateProcess(handle, 5));
    assert_int_equal(end_of(&child), 5);
    assert_status(NtQueryInformationProcess(handle, 0, basic, sizeof basic, NULL), STATUS_SUCCESS);
    assert_int_equal((DWORD)basic[0], 5);
    id.process = 1;
    assert_status(NtOpenProcess(&handle, PROCESS_ALL_ACCESS, &attributes, &id), STATUS_INVALID_CID);
    CloseHandle(handle);
    forget(&child);
}

static void word_sizes(void **state)
{
    BOOL wow64 = TRUE;
    struct process_information child = start_sample("sleep", FALSE, CREATE_SUSPENDED_PROCESS);
    assert_true(IsWow64Process(child.hProcess, &wow64));
    assert_false(wow64); /* of this word size */
    assert_true(TerminateProcess(child.hProcess, 0));
    end_of(&child);
    forget(&child);
}

/* ---- the group ----------------------------------------------------------------------------------
 */

static int setup(void **state)
{
    const char *command = getenv("PELDR_TEST_COMMAND");
    for (const char *const *set = sample_sets; *set; set++)
        if (strncmp(*set, "mingw", 5) == 0 && sample_path(*set, "process.exe", sample))
            break;
    if (!command || !sample[0] || access(sample, R_OK) != 0)
        exit(77);
    setenv("PELDR_COMMAND", command, 1);
    if (tempdir_create() != 0 || setenv("XDG_RUNTIME_DIR", tempdir, 1) != 0)
        return -1;
    return win32_test_setup(state);
}

static int teardown(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_codes_have_32_bits),
        cmocka_unit_test(a_host_that_ignores_its_children_learns_their_codes),
        cmocka_unit_test(children_are_reaped_whoever_forgets_them),
        cmocka_unit_test(ends_from_outside),
        cmocka_unit_test(a_suspended_child_can_be_killed),
        cmocka_unit_test(hundreds_of_handles_are_inherited),
        cmocka_unit_test(files_that_are_no_programs),
        cmocka_unit_test(an_image_that_is_being_written),
        cmocka_unit_test(a_command_line_has_a_limit),
        cmocka_unit_test(without_the_command),
        cmocka_unit_test(a_command_that_does_not_answer),
        cmocka_unit_test(attribute_lists),
        cmocka_unit_test(a_line_names_its_program),
        cmocka_unit_test(only_processes_of_peldr_exist),
        cmocka_unit_test(handles_of_other_things_are_refused),
        cmocka_unit_test(children_are_listed),
        cmocka_unit_test(nt_functions),
        cmocka_unit_test(word_sizes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
