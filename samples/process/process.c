/*
 * A program that starts itself: what CreateProcess hands on, what the parent can do with the child,
 * and which calls are refused. Each case is one word on the command line; "child" and another word
 * is what the child does.
 */
#include "console.h"

#include <errno.h>
#include <process.h>
#include <tlhelp32.h>

static char self[MAX_PATH];

static HANDLE handle_of(const char *text)
{
    return (HANDLE)(ULONG_PTR)strtoul(text, NULL, 16);
}

static unsigned number_of(HANDLE handle)
{
    return (unsigned)(ULONG_PTR)handle;
}

/* ---- starting -------------------------------------------------------------------------------- */

struct start {
    const char *program; /* NULL = this one */
    const char *directory;
    void *environment;
    DWORD flags;
    BOOL inherit;
    STARTUPINFOEXA info;
};

/* Starts `program child ARGUMENTS`. */
static BOOL start(struct start *how, PROCESS_INFORMATION *child, const char *format, ...)
{
    char line[1024], *at = line;
    va_list args;
    at += sprintf(at, "\"%s\" child ", how->program ? how->program : self);
    va_start(args, format);
    vsprintf(at, format, args);
    va_end(args);
    how->info.StartupInfo.cb =
        how->flags & EXTENDED_STARTUPINFO_PRESENT ? sizeof(how->info) : sizeof(STARTUPINFOA);
    if (CreateProcessA(NULL, line, NULL, NULL, how->inherit, how->flags, how->environment,
                       how->directory, &how->info.StartupInfo, child))
        return TRUE;
    say("CreateProcess fails with %lu", GetLastError());
    return FALSE;
}

static void finish(PROCESS_INFORMATION *child)
{
    DWORD wait = WaitForSingleObject(child->hProcess, 20000), code = 0;
    GetExitCodeProcess(child->hProcess, &code);
    say("wait %lu, exit code %#lx", wait, code);
    CloseHandle(child->hProcess);
    CloseHandle(child->hThread);
}

static void run(struct start *how, const char *arguments)
{
    PROCESS_INFORMATION child;
    if (start(how, &child, "%s", arguments))
        finish(&child);
}

/* ---- what children do ------------------------------------------------------------------------ */

static int child_exit(int argc, char **argv)
{
    return (int)strtoul(argv[0], NULL, 0);
}

static int child_arguments(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        say("argument %d: [%s]", i, argv[i]);
    return argc;
}

static int child_environment(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        char value[64];
        DWORD length = GetEnvironmentVariableA(argv[i], value, sizeof value);
        say("%s is %s", argv[i], length ? value : "not set");
    }
    return 0;
}

static int child_directory(int argc, char **argv)
{
    char path[MAX_PATH];
    GetCurrentDirectoryA(sizeof path, path);
    say("directory ...%s", strrchr(path, '\\'));
    return 0;
}

static int child_sleep(int argc, char **argv)
{
    Sleep(60000);
    return 0;
}

static int child_inherited(int argc, char **argv)
{
    DWORD flags = 0, done = 0;
    BOOL set = SetEvent(handle_of(argv[0])),
         wrote = WriteFile(handle_of(argv[1]), "child\r\n", 7, &done, NULL);
    BOOL released = ReleaseSemaphore(handle_of(argv[2]), 2, NULL);
    say("event %d, file %d, semaphore %d", set, wrote, released);
    BOOL known = GetHandleInformation(handle_of(argv[0]), &flags);
    say("information %d %lu", known, flags);
    BOOL other = GetHandleInformation(handle_of(argv[3]), &flags);
    say("not inherited: %d %lu", other, other ? 0 : GetLastError());
    return 0;
}

static int child_listed(int argc, char **argv)
{
    BOOL first = SetEvent(handle_of(argv[0])), second = SetEvent(handle_of(argv[1]));
    say("listed %d, not listed %d", first, second);
    return 0;
}

static int child_copy(int argc, char **argv)
{
    char text[64];
    fprintf(stderr, "to stderr\n");
    while (fgets(text, sizeof text, stdin))
        printf("copied %s", text);
    return 3;
}

/* Shows a buffer to the parent, and what the parent has made of it. */
static int child_memory(int argc, char **argv)
{
    static char buffer[32] = "written by the child";
    char line[64];
    DWORD done;
    int length = sprintf(line, "%p", (void *)buffer);
    WriteFile(handle_of(argv[0]), line, (DWORD)length, &done, NULL);
    WaitForSingleObject(handle_of(argv[1]), 20000);
    say("child: %s", buffer);
    return 0;
}

static int child_startup(int argc, char **argv)
{
    STARTUPINFOA info;
    GetStartupInfoA(&info);
    say("title %s, x %lu, y %lu, show %d", info.lpTitle, info.dwX, info.dwY, info.wShowWindow);
    return 0;
}

static int child_parent(int argc, char **argv)
{
    HANDLE parent = OpenProcess(SYNCHRONIZE | PROCESS_QUERY_INFORMATION | PROCESS_DUP_HANDLE, FALSE,
                                strtoul(argv[0], NULL, 0));
    HANDLE mine = NULL;
    DWORD code = 0;
    say("parent %s, wait %lu", parent ? "opened" : "not opened", WaitForSingleObject(parent, 0));
    GetExitCodeProcess(parent, &code);
    BOOL taken = DuplicateHandle(parent, handle_of(argv[1]), GetCurrentProcess(), &mine, 0, FALSE,
                                 DUPLICATE_SAME_ACCESS);
    say("code %lu, taken %d, set %d", code, taken, SetEvent(mine));
    BOOL killed = TerminateProcess(parent, 1);
    say("terminate without the right: %d %lu", killed, GetLastError());
    return 0;
}

static int child_name(int argc, char **argv)
{
    say("%s", strrchr(self, '\\') + 1);
    return 0;
}

static int child_word(int argc, char **argv)
{
    HANDLE event = OpenEventA(EVENT_MODIFY_STATE, FALSE, "peldr sample of two words");
    say("child has %d bits, handle %d, name %d", (int)sizeof(void *) * 8,
        SetEvent(handle_of(argv[0])), SetEvent(event));
    return 0;
}

static int child_crash(int argc, char **argv)
{
    RaiseException(0xC0000005, EXCEPTION_NONCONTINUABLE, 0, NULL);
    return 0;
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void case_exit(void)
{
    struct start how = {0};
    run(&how, "exit 0");
    run(&how, "exit 0x12345678");
    run(&how, "exit 0xC0000005");
    run(&how, "exit 256");
}

static void case_crash(void)
{
    struct start how = {0};
    how.flags = CREATE_NO_WINDOW; /* its report goes nowhere */
    run(&how, "crash");
}

/* An image that is fine but for a DLL that is nowhere: the process is created, and ends. */
static void case_needy(void)
{
    struct start how = {0};
    char program[MAX_PATH];
    strcpy(program, self);
    strcpy(strrchr(program, '\\') + 1, "needy.exe");
    how.program = program;
    how.flags = CREATE_NO_WINDOW;
    run(&how, "");
}

/*
 * A name with blanks that nobody has quoted: what ends at the first blank is tried first. The child
 * tells the two programs apart by what they are called.
 */
static void case_blanks(void)
{
    STARTUPINFOA info = {.cb = sizeof info};
    PROCESS_INFORMATION child;
    char directory[MAX_PATH], shorter[MAX_PATH], longer[MAX_PATH], line[MAX_PATH + 32];
    GetTempPathA(sizeof directory, directory);
    sprintf(directory + strlen(directory), "peldr-%lu", GetCurrentProcessId());
    CreateDirectoryA(directory, NULL);
    sprintf(longer, "%s\\two words.exe", directory);
    sprintf(shorter, "%s\\two.exe", directory);
    CopyFileA(self, longer, FALSE);
    for (int i = 0; i < 2; i++) {
        sprintf(line, "%s\\two words child name", directory);
        if (CreateProcessA(NULL, line, NULL, NULL, FALSE, 0, NULL, NULL, &info, &child))
            finish(&child);
        else
            say("CreateProcess fails with %lu", GetLastError());
        CopyFileA(self, shorter, FALSE);
    }
    for (int i = 0; i < 100 && !(DeleteFileA(longer) && DeleteFileA(shorter)); i++)
        Sleep(i); /* an image that ended a moment ago may still be held */
    DeleteFileA(shorter);
    RemoveDirectoryA(directory);
}

static void case_arguments(void)
{
    struct start how = {0};
    run(&how, "arguments one \"two words\" \"\" \\\"quoted\\\" back\\slash \"end\\\\\"  tail");
    run(&how, "arguments a\"b c\"d \"\"\"e\"\"\" %PATH% *");
}

static void case_environment(void)
{
    struct start how = {0};
    SetEnvironmentVariableA("PELDR_SAMPLE", "inherited");
    run(&how, "environment PELDR_SAMPLE OTHER");
    how.environment = "OTHER=narrow block\0";
    run(&how, "environment PELDR_SAMPLE OTHER");
    how.environment = L"OTHER=wide block\0PELDR_SAMPLE=too\0";
    how.flags = CREATE_UNICODE_ENVIRONMENT;
    run(&how, "environment PELDR_SAMPLE OTHER");
}

static void case_directory(void)
{
    struct start how = {0};
    char path[MAX_PATH], file[MAX_PATH];
    GetTempPathA(sizeof path, path);
    sprintf(file, "%speldr-%lu sample", path, GetCurrentProcessId());
    CreateDirectoryA(file, NULL);
    SetCurrentDirectoryA(file);
    CreateDirectoryA("below", NULL);
    how.directory = "below";
    run(&how, "directory");
    SetCurrentDirectoryA("below");
    how.directory = NULL;
    run(&how, "directory");
    how.directory = "C:\\no such directory";
    run(&how, "directory");
    how.directory = self;
    run(&how, "directory");
    SetCurrentDirectoryA("..");
    RemoveDirectoryA("below");
    SetCurrentDirectoryA("..");
    RemoveDirectoryA(file);
}

static void case_suspended(void)
{
    struct start how = {0};
    PROCESS_INFORMATION child;
    how.flags = CREATE_SUSPENDED;
    if (!start(&how, &child, "exit 5"))
        return;
    say("still there: %lu", WaitForSingleObject(child.hProcess, 100));
    say("suspend %lu", SuspendThread(child.hThread));
    say("resume %lu", ResumeThread(child.hThread));
    say("still there: %lu", WaitForSingleObject(child.hThread, 100));
    say("ids %d %d", GetThreadId(child.hThread) == child.dwThreadId,
        GetProcessIdOfThread(child.hThread) == child.dwProcessId);
    say("resume %lu", ResumeThread(child.hThread));
    say("thread %lu", WaitForSingleObject(child.hThread, 20000));
    DWORD code = 0;
    BOOL known = GetExitCodeThread(child.hThread, &code);
    say("thread's code %d %lu", known, code);
    finish(&child);
}

static void case_kill(void)
{
    struct start how = {0};
    PROCESS_INFORMATION child;
    DWORD code = 0;
    if (!start(&how, &child, "sleep"))
        return;
    GetExitCodeProcess(child.hProcess, &code);
    say("code %lu", code);
    say("terminate %d", TerminateProcess(child.hProcess, 0xBADF00D));
    WaitForSingleObject(child.hProcess, 20000);
    BOOL again = TerminateProcess(child.hProcess, 1);
    say("again %d %lu", again, GetLastError());
    finish(&child);
    how.flags = CREATE_SUSPENDED;
    if (start(&how, &child, "sleep")) {
        say("terminate %d", TerminateProcess(child.hProcess, 77));
        finish(&child);
    }
}

static HANDLE temporary_file(SECURITY_ATTRIBUTES *attributes)
{
    char path[MAX_PATH], name[MAX_PATH];
    GetTempPathA(sizeof path, path);
    GetTempFileNameA(path, "pel", 0, name);
    return CreateFileA(name, GENERIC_READ | GENERIC_WRITE, 7, attributes, CREATE_ALWAYS,
                       FILE_FLAG_DELETE_ON_CLOSE, NULL);
}

static void case_inherit(void)
{
    SECURITY_ATTRIBUTES inherit = {sizeof inherit, NULL, TRUE};
    struct start how = {0};
    PROCESS_INFORMATION child;
    HANDLE event = CreateEventA(&inherit, TRUE, FALSE, NULL), file = temporary_file(&inherit);
    HANDLE semaphore = CreateSemaphoreA(&inherit, 0, 10, NULL);
    HANDLE own = CreateEventA(NULL, TRUE, FALSE, NULL);
    char text[64] = "";
    DWORD done;
    how.inherit = TRUE;
    WriteFile(file, "parent\r\n", 8, &done, NULL);
    if (!start(&how, &child, "inherited %x %x %x %x", number_of(event), number_of(file),
               number_of(semaphore), number_of(own)))
        return;
    finish(&child);
    say("event %lu, own %lu", WaitForSingleObject(event, 0), WaitForSingleObject(own, 0));
    for (int i = 0; i < 3; i++)
        say("semaphore %lu", WaitForSingleObject(semaphore, 0));
    WriteFile(file, "parent\r\n", 8, &done, NULL); /* behind what the child has written */
    SetFilePointer(file, 0, NULL, FILE_BEGIN);
    ReadFile(file, text, sizeof text - 1, &done, NULL);
    for (char *at = text; *at; at++)
        *at = *at == '\r' ? ' ' : *at == '\n' ? '|' : *at;
    say("file: %s", text);
    CloseHandle(file);
}

static void case_list(void)
{
    SECURITY_ATTRIBUTES inherit = {sizeof inherit, NULL, TRUE};
    struct start how = {0};
    PROCESS_INFORMATION child;
    HANDLE first = CreateEventA(&inherit, TRUE, FALSE, NULL);
    HANDLE second = CreateEventA(&inherit, TRUE, FALSE, NULL);
    HANDLE own = CreateEventA(NULL, TRUE, FALSE, NULL);
    HANDLE output = GetStdHandle(STD_OUTPUT_HANDLE);
    HANDLE list[] = {first, NULL};
    SIZE_T size = 0;
    BOOL ok = InitializeProcThreadAttributeList(NULL, 1, 0, &size);
    say("size %d %lu", ok, GetLastError());
    how.info.lpAttributeList = malloc(size);
    ok = InitializeProcThreadAttributeList(how.info.lpAttributeList, 1, 0, &size);
    SetHandleInformation(output, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    list[1] = output;
    ok = ok &&
         UpdateProcThreadAttribute(how.info.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST,
                                   list, sizeof list, NULL, NULL);
    say("list %d", ok);
    how.inherit = TRUE;
    how.flags = EXTENDED_STARTUPINFO_PRESENT;
    if (start(&how, &child, "listed %x %x", number_of(first), number_of(second)))
        finish(&child);
    list[0] = own; /* not inheritable */
    start(&how, &child, "listed %x %x", number_of(first), number_of(second));
    DeleteProcThreadAttributeList(how.info.lpAttributeList);
    free(how.info.lpAttributeList);
}

/* The classic: standard handles that are pipes. */
static void case_pipes(void)
{
    SECURITY_ATTRIBUTES inherit = {sizeof inherit, NULL, TRUE};
    struct start how = {0};
    PROCESS_INFORMATION child;
    HANDLE in_read, in_write, out_read, out_write;
    char text[256];
    DWORD done, all = 0;
    CreatePipe(&in_read, &in_write, &inherit, 0);
    CreatePipe(&out_read, &out_write, &inherit, 0);
    SetHandleInformation(in_write, HANDLE_FLAG_INHERIT, 0);
    SetHandleInformation(out_read, HANDLE_FLAG_INHERIT, 0);
    how.info.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    how.info.StartupInfo.hStdInput = in_read;
    how.info.StartupInfo.hStdOutput = out_write;
    how.info.StartupInfo.hStdError = out_write;
    how.inherit = TRUE;
    if (!start(&how, &child, "copy"))
        return;
    CloseHandle(in_read);
    CloseHandle(out_write);
    WriteFile(in_write, "first\nsecond\n", 13, &done, NULL);
    CloseHandle(in_write); /* the end of the child's input */
    while (all < sizeof text - 1 &&
           ReadFile(out_read, text + all, sizeof text - 1 - all, &done, NULL) && done)
        all += done;
    text[all] = 0;
    say("broken pipe: %d", GetLastError() == ERROR_BROKEN_PIPE);
    for (char *line = strtok(text, "\r\n"); line; line = strtok(NULL, "\r\n"))
        say("read: %s", line);
    finish(&child);
}

static void case_memory(void)
{
    SECURITY_ATTRIBUTES inherit = {sizeof inherit, NULL, TRUE};
    struct start how = {0};
    PROCESS_INFORMATION child;
    HANDLE from, to, event = CreateEventA(&inherit, TRUE, FALSE, NULL);
    char line[64] = "", text[32] = "";
    DWORD done;
    SIZE_T moved = 0;
    CreatePipe(&from, &to, &inherit, 0);
    how.inherit = TRUE;
    if (!start(&how, &child, "memory %x %x", number_of(to), number_of(event)))
        return;
    ReadFile(from, line, sizeof line - 1, &done, NULL);
    void *address = (void *)(ULONG_PTR)strtoull(line, NULL, 16);
    BOOL ok = ReadProcessMemory(child.hProcess, address, text, 21, &moved);
    say("read %d %d: %s", ok, (int)moved, text);
    ok = WriteProcessMemory(child.hProcess, address, "written by the parent", 22, &moved);
    say("write %d %d", ok, (int)moved);
    ok = ReadProcessMemory(child.hProcess, (void *)16, text, 1, &moved);
    say("bad address %d %lu", ok, GetLastError());
    SetEvent(event);
    finish(&child);
}

static void case_startup(void)
{
    struct start how = {0};
    how.info.StartupInfo.lpTitle = (char *)"a title";
    how.info.StartupInfo.dwX = 11;
    how.info.StartupInfo.dwY = 22;
    how.info.StartupInfo.wShowWindow = 3;
    how.info.StartupInfo.dwFlags = STARTF_USEPOSITION | STARTF_USESHOWWINDOW;
    run(&how, "startup");
}

static void case_parent(void)
{
    struct start how = {0};
    PROCESS_INFORMATION child;
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL); /* not inherited: taken */
    if (start(&how, &child, "parent %lu %x", GetCurrentProcessId(), number_of(event)))
        finish(&child);
    say("event %lu", WaitForSingleObject(event, 0));
}

static BOOL is_listed(DWORD id)
{
    HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    PROCESSENTRY32 entry = {.dwSize = sizeof entry};
    BOOL found = FALSE;
    for (BOOL more = Process32First(snapshot, &entry); more; more = Process32Next(snapshot, &entry))
        if (entry.th32ProcessID == id) {
            found = TRUE;
            say("listed: %s, parent %d", entry.szExeFile,
                entry.th32ParentProcessID == GetCurrentProcessId());
        }
    CloseHandle(snapshot);
    return found;
}

static void case_open(void)
{
    struct start how = {0};
    PROCESS_INFORMATION child;
    FILETIME creation, end, kernel, user;
    char path[MAX_PATH] = "";
    DWORD size = sizeof path, code = 0, handles = 0;
    how.flags = BELOW_NORMAL_PRIORITY_CLASS;
    if (!start(&how, &child, "sleep"))
        return;
    HANDLE open = OpenProcess(PROCESS_ALL_ACCESS, FALSE, child.dwProcessId);
    say("opened %d, id %d", open != NULL, GetProcessId(open) == child.dwProcessId);
    BOOL known = QueryFullProcessImageNameA(open, 0, path, &size);
    say("name %d, same %d", known, lstrcmpiA(path, self) == 0);
    say("priority %#lx", GetPriorityClass(open));
    known = GetProcessHandleCount(open, &handles);
    say("handles %d %d", known, handles > 0);
    known = GetProcessTimes(open, &creation, &end, &kernel, &user);
    say("times %d, started %d, ended %d", known, creation.dwHighDateTime != 0,
        end.dwHighDateTime != 0);
    is_listed(child.dwProcessId);
    HANDLE limited = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, child.dwProcessId);
    BOOL ended = TerminateProcess(limited, 1);
    say("terminate without the right: %d %lu", ended, GetLastError());
    say("terminate: %d", TerminateProcess(open, 9));
    DWORD first = WaitForSingleObject(open, 20000);
    say("both: %lu %lu", first, WaitForSingleObject(child.hProcess, 0));
    known = GetExitCodeProcess(limited, &code);
    say("code %d %lu", known, code);
    GetProcessTimes(open, &creation, &end, &kernel, &user);
    say("ended %d", CompareFileTime(&end, &creation) > 0);
    CloseHandle(limited);
    CloseHandle(open);
    finish(&child);
    for (int i = 0; i < 100 && open; i++) { /* it goes with its last handle */
        Sleep(i);
        open = OpenProcess(PROCESS_QUERY_INFORMATION, FALSE, child.dwProcessId);
        CloseHandle(open);
    }
    OpenProcess(PROCESS_QUERY_INFORMATION, FALSE, child.dwProcessId);
    say("gone: %d %lu", open == NULL, GetLastError());
}

static void refused(const char *what, const char *application, const char *line, DWORD flags)
{
    STARTUPINFOA info = {.cb = sizeof info};
    PROCESS_INFORMATION child;
    char copy[MAX_PATH * 2];
    if (line)
        strcpy(copy, line);
    BOOL ok = CreateProcessA(application, line ? copy : NULL, NULL, NULL, FALSE, flags, NULL, NULL,
                             &info, &child);
    say("%s: %d %lu", what, ok, ok ? 0 : GetLastError());
}

static void case_refused(void)
{
    char path[MAX_PATH], name[MAX_PATH];
    DWORD done;
    GetTempPathA(sizeof path, path);
    GetTempFileNameA(path, "pel", 0, name);
    HANDLE file = CreateFileA(name, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
    WriteFile(file, "This is text, which nobody can run.\r\n", 37, &done, NULL);
    CloseHandle(file);
    refused("missing", "C:\\missing.exe", NULL, 0);
    refused("missing directory", "C:\\missing\\program.exe", NULL, 0);
    refused("missing in the line", NULL, "peldr-has-no-such-program with arguments", 0);
    refused("quoted and missing", NULL, "\"peldr has no such program\"", 0);
    refused("text", name, NULL, 0);
    refused("directory", path, NULL, 0);
    DeleteFileA(name);
    refused("console twice", self, NULL, DETACHED_PROCESS | CREATE_NEW_CONSOLE);
}

static void case_runtime(void)
{
    char line[MAX_PATH + 64], text[64] = "";
    int status = 0;
    sprintf(line, "\"%s\"", self);
    say("wait %#x", (int)_spawnl(_P_WAIT, self, line, "child", "exit", "0x1234567", (char *)NULL));
    intptr_t process = _spawnl(_P_NOWAIT, self, line, "child", "exit", "42", (char *)NULL);
    intptr_t waited = _cwait(&status, process, 0);
    say("cwait %d, status %d", waited == process, status);
    const char *const arguments[] = {line, "child", "environment", "PELDR_SAMPLE", NULL};
    const char *const environment[] = {"PELDR_SAMPLE=spawned", NULL};
    say("spawnve %d", (int)_spawnve(_P_WAIT, self, arguments, environment));
    int missing = (int)_spawnl(_P_WAIT, "peldr-missing", "x", (char *)NULL);
    say("missing %d, errno %d", missing, errno);
    sprintf(line, "\"%s\" child exit 7", self);
    FILE *pipe = _popen(line, "r");
    BOOL end = fgets(text, sizeof text, pipe) == NULL;
    say("popen %d, eof %d, close %d", pipe != NULL, end, _pclose(pipe));
}

/* A program for the other word size, which lies in the neighbouring directory. */
static void case_word(void)
{
    SECURITY_ATTRIBUTES inherit = {sizeof inherit, NULL, TRUE};
    struct start how = {0};
    PROCESS_INFORMATION child;
    char other[MAX_PATH];
    strcpy(other, self);
    char *digits = strstr(other, sizeof(void *) == 8 ? "mingw64" : "mingw32");
    BOOL wow64 = FALSE;
    HANDLE event = CreateEventA(&inherit, FALSE, FALSE, NULL);
    HANDLE named = CreateEventA(NULL, FALSE, FALSE, "peldr sample of two words");
    if (!digits)
        return;
    memcpy(digits + 5, sizeof(void *) == 8 ? "32" : "64", 2);
    how.program = other;
    how.inherit = TRUE;
    how.flags = CREATE_SUSPENDED;
    if (!start(&how, &child, "word %x", number_of(event)))
        return;
    BOOL known = IsWow64Process(child.hProcess, &wow64);
    say("WOW64 %d %d", known, wow64);
    ResumeThread(child.hThread);
    finish(&child);
    say("events %lu %lu", WaitForSingleObject(event, 0), WaitForSingleObject(named, 0));
}

/* Children leave nothing behind. */
static void case_many(void)
{
    struct start how = {0};
    DWORD before = 0, after = 0;
    int good = 0;
    for (int i = 0; i < 40; i++) {
        PROCESS_INFORMATION child;
        DWORD code = 0;
        char arguments[32];
        sprintf(arguments, "exit %d", i);
        if (i == 2)
            GetProcessHandleCount(GetCurrentProcess(), &before);
        if (!start(&how, &child, "%s", arguments))
            return;
        WaitForSingleObject(child.hProcess, 20000);
        GetExitCodeProcess(child.hProcess, &code);
        good += code == (DWORD)i;
        CloseHandle(child.hProcess);
        CloseHandle(child.hThread);
    }
    GetProcessHandleCount(GetCurrentProcess(), &after);
    say("%d good, handles %d", good, (int)(after - before));
}

/* ---------------------------------------------------------------------------------------------- */

struct child {
    const char *name;
    int (*run)(int argc, char **argv);
};
static const struct child children[] = {
    {"exit", child_exit},
    {"arguments", child_arguments},
    {"environment", child_environment},
    {"directory", child_directory},
    {"sleep", child_sleep},
    {"inherited", child_inherited},
    {"listed", child_listed},
    {"copy", child_copy},
    {"memory", child_memory},
    {"startup", child_startup},
    {"parent", child_parent},
    {"word", child_word},
    {"crash", child_crash},
    {"name", child_name},
};

struct parent {
    const char *name;
    void (*run)(void);
};
static const struct parent cases[] = {
    {"exit", case_exit},           {"crash", case_crash},         {"needy", case_needy},
    {"blanks", case_blanks},       {"arguments", case_arguments}, {"environment", case_environment},
    {"directory", case_directory}, {"suspended", case_suspended}, {"kill", case_kill},
    {"inherit", case_inherit},     {"list", case_list},           {"pipes", case_pipes},
    {"memory", case_memory},       {"startup", case_startup},     {"parent", case_parent},
    {"open", case_open},           {"refused", case_refused},     {"runtime", case_runtime},
    {"word", case_word},           {"many", case_many},
};

int main(int argc, char **argv)
{
    GetModuleFileNameA(NULL, self, sizeof self);
    if (argc > 2 && strcmp(argv[1], "child") == 0) {
        for (size_t i = 0; i < sizeof children / sizeof *children; i++)
            if (strcmp(children[i].name, argv[2]) == 0)
                return children[i].run(argc - 3, argv + 3);
        return 98;
    }
    for (size_t i = 0; argc > 1 && i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].run();
            return 0;
        }
    return 99;
}
