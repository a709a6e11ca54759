/*
 * Named objects as images see them: one namespace for all types and processes, the results and last
 * errors of KERNEL32 and NTDLL for every kind of name, and timers that processes share.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loader/win32/objattr.h"
#include "loader/win32/strings.h"
#include "tests/unit/peer.h"
#include "tests/unit/status.h"
#include "tests/unit/tempdir.h"
#include "tests/unit/wide.h"
#include "tests/unit/win32_fn.h"

K32(CreateEventW, HANDLE, void *attributes, BOOL manual, BOOL set, const WCHAR *name)
K32(CreateMutexW, HANDLE, void *attributes, BOOL owner, const WCHAR *name)
K32(CreateSemaphoreW, HANDLE, void *attributes, LONG initial, LONG maximum, const WCHAR *name)
K32(CreateWaitableTimerW, HANDLE, void *attributes, BOOL manual, const WCHAR *name)
K32(CreateFileMappingW, HANDLE, HANDLE file, void *attributes, DWORD protect, DWORD high, DWORD low,
    const WCHAR *name)
K32(OpenEventW, HANDLE, DWORD access, BOOL inherit, const WCHAR *name)
K32(OpenMutexW, HANDLE, DWORD access, BOOL inherit, const WCHAR *name)
K32(OpenSemaphoreW, HANDLE, DWORD access, BOOL inherit, const WCHAR *name)
K32(OpenWaitableTimerW, HANDLE, DWORD access, BOOL inherit, const WCHAR *name)
K32(OpenFileMappingW, HANDLE, DWORD access, BOOL inherit, const WCHAR *name)
K32(CreateEventA, HANDLE, void *attributes, BOOL manual, BOOL set, const char *name)
K32(OpenMutexA, HANDLE, DWORD access, BOOL inherit, const char *name)
K32(OpenWaitableTimerA, HANDLE, DWORD access, BOOL inherit, const char *name)
K32(SetEvent, BOOL, HANDLE event)
K32(ReleaseMutex, BOOL, HANDLE mutex)
K32(SetWaitableTimer, BOOL, HANDLE timer, const int64_t *due, LONG period, void *routine,
    void *argument, BOOL resume)
K32(CancelWaitableTimer, BOOL, HANDLE timer)
K32(WaitForSingleObject, DWORD, HANDLE handle, DWORD milliseconds)
K32(SleepEx, DWORD, DWORD milliseconds, BOOL alertable)
K32(CloseHandle, BOOL, HANDLE handle)
NT(NtCreateEvent, nt_status, HANDLE *out, ULONG access, const OBJECT_ATTRIBUTES *attributes,
   ULONG type, BOOLEAN set)
NT(NtOpenEvent, nt_status, HANDLE *out, ULONG access, const OBJECT_ATTRIBUTES *attributes)
NT(NtCreateMutant, nt_status, HANDLE *out, ULONG access, const OBJECT_ATTRIBUTES *attributes,
   BOOLEAN owner)
NT(NtOpenMutant, nt_status, HANDLE *out, ULONG access, const OBJECT_ATTRIBUTES *attributes)
NT(NtReleaseMutant, nt_status, HANDLE mutant, LONG *previous)
NT(NtCreateSemaphore, nt_status, HANDLE *out, ULONG access, const OBJECT_ATTRIBUTES *attributes,
   LONG initial, LONG maximum)
NT(NtOpenSemaphore, nt_status, HANDLE *out, ULONG access, const OBJECT_ATTRIBUTES *attributes)
NT(NtQueryEvent, nt_status, HANDLE event, ULONG class, void *buffer, ULONG size, ULONG *returned)
NT(NtQuerySemaphore, nt_status, HANDLE event, ULONG class, void *buffer, ULONG size,
   ULONG *returned)
NT(NtQueryMutant, nt_status, HANDLE event, ULONG class, void *buffer, ULONG size, ULONG *returned)
NT(NtPulseEvent, nt_status, HANDLE event, LONG *previous)
NT(NtSetEvent, nt_status, HANDLE event, LONG *previous)

enum {
    ALL = 0x1F0003,
    MAP_ALL = 0xF001F,
    WAIT_ABANDONED = 0x80,
    WAIT_TIMEOUT = 258,
    LONG_TIME = 20000
};

/* ---- the types ----------------------------------------------------------------------------------
 */

enum kind { EVENT, MUTEX, SEMAPHORE, TIMER, MAPPING, KINDS };

static HANDLE create(enum kind kind, const WCHAR *name)
{
    switch (kind) {
    case EVENT:
        return CreateEventW(NULL, TRUE, FALSE, name);
    case MUTEX:
        return CreateMutexW(NULL, FALSE, name);
    case SEMAPHORE:
        return CreateSemaphoreW(NULL, 1, 2, name);
    case TIMER:
        return CreateWaitableTimerW(NULL, TRUE, name);
    default:
        return CreateFileMappingW((HANDLE)(intptr_t)-1, NULL, 4, 0, 4096, name);
    }
}

static HANDLE open_it(enum kind kind, const WCHAR *name)
{
    switch (kind) {
    case EVENT:
        return OpenEventW(ALL, FALSE, name);
    case MUTEX:
        return OpenMutexW(ALL, FALSE, name);
    case SEMAPHORE:
        return OpenSemaphoreW(ALL, FALSE, name);
    case TIMER:
        return OpenWaitableTimerW(ALL, FALSE, name);
    default:
        return OpenFileMappingW(MAP_ALL, FALSE, name);
    }
}

static void assert_created(HANDLE handle, uint32_t error)
{
    assert_int_equal(ke_last_error(), error);
    assert_non_null(handle);
    assert_true(CloseHandle(handle));
}

static void assert_failed(HANDLE handle, uint32_t error)
{
    assert_null(handle);
    assert_int_equal(ke_last_error(), error);
}

/* ---- KERNEL32 -----------------------------------------------------------------------------------
 */

static void all_types_have_one_namespace(void **state)
{
    const WCHAR *name = W("one namespace");
    for (enum kind there = EVENT; there < KINDS; there++) {
        ke_set_last_error(77);
        HANDLE handle = create(there, name);
        assert_non_null(handle);
        assert_int_equal(ke_last_error(), 0);
        for (enum kind wanted = EVENT; wanted < KINDS; wanted++) {
            if (wanted == there) {
                assert_created(create(wanted, name), ERROR_ALREADY_EXISTS);
                ke_set_last_error(77);
                assert_created(open_it(wanted, name), 77);
            } else {
                assert_failed(create(wanted, name), ERROR_INVALID_HANDLE);
                assert_failed(open_it(wanted, name), ERROR_INVALID_HANDLE);
            }
        }
        assert_true(CloseHandle(handle));
        assert_failed(open_it(there, name), ERROR_FILE_NOT_FOUND);
    }
}

static void odd_names_give_windows_errors(void **state)
{
    static const struct {
        const char *name;
        uint32_t error;
    } cases[] = {
        {"a\\b", ERROR_PATH_NOT_FOUND},      {"..\\a", ERROR_PATH_NOT_FOUND},
        {"global\\a", ERROR_PATH_NOT_FOUND}, {"Session\\9\\a", ERROR_PATH_NOT_FOUND},
        {"Local\\", ERROR_INVALID_NAME},     {"Local\\\\a", ERROR_INVALID_NAME},
        {"Global", ERROR_INVALID_HANDLE},    {"\\a", 161 /* ERROR_BAD_PATHNAME */},
    };
    for (enum kind kind = EVENT; kind < KINDS; kind++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
            assert_failed(create(kind, W(cases[i].name)), cases[i].error);
            assert_failed(open_it(kind, W(cases[i].name)), cases[i].error);
        }
        assert_created(create(kind, W("")), 0);
        assert_created(create(kind, W("..")), 0);
        assert_created(create(kind, W("../../../etc/passwd")), 0);
        assert_failed(open_it(kind, NULL), ERROR_INVALID_PARAMETER);
    }
    assert_failed(OpenEventW(ALL, FALSE, W("")), ERROR_INVALID_HANDLE); /* the directory */
    assert_failed(OpenMutexA(ALL, FALSE, NULL), ERROR_INVALID_PARAMETER);
    assert_failed(OpenWaitableTimerA(ALL, FALSE, "no timer"), ERROR_FILE_NOT_FOUND);
}

static void prefixes_are_directories(void **state)
{
    HANDLE local = CreateEventA(NULL, TRUE, FALSE, "Local\\x");
    assert_created(open_it(EVENT, W("x")), 0);
    assert_created(open_it(EVENT, W("Session\\1\\x")), 0);
    assert_failed(open_it(EVENT, W("Global\\x")), ERROR_FILE_NOT_FOUND);
    assert_failed(open_it(EVENT, W("X")), ERROR_FILE_NOT_FOUND);
    assert_created(create(MUTEX, W("Global\\x")), 0); /* another name */
    assert_true(CloseHandle(local));
}

static void names_may_have_32_ki_units(void **state)
{
    static WCHAR name[40000];
    for (size_t i = 0; i < 32766; i++)
        name[i] = i % 3 ? 'n' : 0xD800;
    for (enum kind kind = EVENT; kind < KINDS; kind++) {
        name[32766] = 0;
        HANDLE handle = create(kind, name);
        assert_int_equal(ke_last_error(), 0);
        assert_created(create(kind, name), ERROR_ALREADY_EXISTS);
        assert_true(CloseHandle(handle));
        name[32766] = 'n';
        assert_failed(create(kind, name), ERROR_INVALID_NAME);
        assert_failed(open_it(kind, name), ERROR_INVALID_NAME);
    }
}

static void what_exists_is_not_changed(void **state)
{
    HANDLE event = CreateEventW(NULL, FALSE, FALSE, W("kept"));
    HANDLE again = CreateEventW(NULL, TRUE, TRUE, W("kept"));
    assert_int_equal(WaitForSingleObject(again, 0), WAIT_TIMEOUT);
    assert_true(SetEvent(again));
    assert_int_equal(WaitForSingleObject(event, 0), 0);
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT); /* still auto-reset */
    HANDLE mutex = CreateMutexW(NULL, FALSE, W("free"));
    HANDLE owned = CreateMutexW(NULL, TRUE, W("free"));
    assert_int_equal(ke_last_error(), ERROR_ALREADY_EXISTS);
    assert_false(ReleaseMutex(owned));
    assert_int_equal(ke_last_error(), ERROR_NOT_OWNER);
    HANDLE mine = CreateMutexW(NULL, TRUE, W("mine"));
    assert_true(ReleaseMutex(mine));
    assert_false(ReleaseMutex(mine));
    HANDLE handles[] = {event, again, mutex, owned, mine};
    for (size_t i = 0; i < 5; i++)
        assert_true(CloseHandle(handles[i]));
}

static void processes_share_names(void **state)
{
    struct peer peer = peer_start();
    uint32_t there, mutex_there;
    HANDLE event = CreateEventW(NULL, FALSE, FALSE, W("n1"));
    assert_int_equal(ke_last_error(), 0);
    assert_status(peer_ask2(&peer, &there, "event 1 1 1"), STATUS_OBJECT_NAME_EXISTS);
    assert_status(peer_ask2(&peer, &mutex_there, "mutex 2 1"), STATUS_SUCCESS);
    HANDLE mutex = CreateMutexW(NULL, TRUE, W("Local\\n2"));
    assert_int_equal(ke_last_error(), ERROR_ALREADY_EXISTS);
    assert_int_equal(WaitForSingleObject(mutex, 10), WAIT_TIMEOUT);
    assert_false(ReleaseMutex(mutex));
    peer_ask(&peer, "set %u 1", there);
    assert_int_equal(WaitForSingleObject(event, 0), 0);
    assert_failed(open_it(SEMAPHORE, W("n2")), ERROR_INVALID_HANDLE);
    peer_kill(&peer);
    assert_int_equal(WaitForSingleObject(mutex, LONG_TIME), WAIT_ABANDONED);
    assert_true(ReleaseMutex(mutex));
    assert_created(create(EVENT, W("n1")), ERROR_ALREADY_EXISTS);
    assert_true(CloseHandle(event));
    assert_true(CloseHandle(mutex));
    assert_created(create(SEMAPHORE, W("n1")), 0);
    assert_created(create(TIMER, W("n2")), 0);
}

static void a_foreign_directory_lets_nobody_in(void **state)
{
    char before[PATH_MAX], other[PATH_MAX + 16];
    strcpy(before, getenv("XDG_RUNTIME_DIR"));
    snprintf(other, sizeof(other), "%s/other", tempdir);
    assert_int_equal(mkdir(other, 0700), 0);
    setenv("XDG_RUNTIME_DIR", other, 1);
    strcat(other, "/peldr");
    assert_int_equal(symlink("/tmp", other), 0);
    for (enum kind kind = EVENT; kind < KINDS; kind++) {
        assert_failed(create(kind, W("named")), ERROR_ACCESS_DENIED);
        assert_failed(open_it(kind, W("named")), ERROR_ACCESS_DENIED);
        assert_created(create(kind, NULL), 0);
    }
    setenv("XDG_RUNTIME_DIR", before, 1);
}

/* ---- NTDLL --------------------------------------------------------------------------------------
 */

static UNICODE_STRING text_of(const char *name)
{
    const WCHAR *units = W(name);
    return (UNICODE_STRING){(USHORT)(2 * strlen(name)), (USHORT)(2 * strlen(name) + 2),
                            (WCHAR *)units};
}

static OBJECT_ATTRIBUTES attributes_of(const UNICODE_STRING *name, ULONG flags)
{
    return (OBJECT_ATTRIBUTES){
        .Length = sizeof(OBJECT_ATTRIBUTES), .ObjectName = name, .Attributes = flags};
}

static nt_status create_event(const OBJECT_ATTRIBUTES *attributes)
{
    HANDLE handle = NULL;
    nt_status status = NtCreateEvent(&handle, ALL, attributes, 0, FALSE);
    if (nt_ok(status))
        assert_true(CloseHandle(handle));
    return status;
}

static nt_status open_event(const OBJECT_ATTRIBUTES *attributes)
{
    HANDLE handle = NULL;
    nt_status status = NtOpenEvent(&handle, ALL, attributes);
    if (nt_ok(status))
        assert_true(CloseHandle(handle));
    return status;
}

static void absolute_names_lead_to_the_same_objects(void **state)
{
    HANDLE handle, same;
    UNICODE_STRING global = text_of("\\BaseNamedObjects\\g"),
                   local = text_of("\\Sessions\\1\\BaseNamedObjects\\l");
    OBJECT_ATTRIBUTES attributes = attributes_of(&global, 0);
    assert_status(NtCreateMutant(&handle, ALL, &attributes, FALSE), STATUS_SUCCESS);
    assert_created(open_it(MUTEX, W("Global\\g")), ke_last_error());
    assert_status(NtCreateMutant(&same, ALL, &attributes, FALSE), STATUS_OBJECT_NAME_COLLISION);
    attributes.Attributes = OBJ_OPENIF;
    assert_status(NtCreateMutant(&same, ALL, &attributes, FALSE), STATUS_OBJECT_NAME_EXISTS);
    assert_true(CloseHandle(same));
    assert_status(NtOpenMutant(&same, ALL, &attributes), STATUS_SUCCESS);
    assert_true(CloseHandle(same));
    assert_status(create_event(&attributes), STATUS_OBJECT_TYPE_MISMATCH);
    assert_status(open_event(&attributes), STATUS_OBJECT_TYPE_MISMATCH);
    assert_true(CloseHandle(handle));
    assert_status(open_event(&attributes), STATUS_OBJECT_NAME_NOT_FOUND);

    attributes = attributes_of(&local, 0);
    assert_status(NtCreateSemaphore(&handle, ALL, &attributes, 0, 3), STATUS_SUCCESS);
    assert_created(create(SEMAPHORE, W("l")), ERROR_ALREADY_EXISTS);
    assert_status(NtOpenSemaphore(&same, ALL, &attributes), STATUS_SUCCESS);
    assert_true(CloseHandle(same));
    assert_true(CloseHandle(handle));
    assert_status(NtCreateSemaphore(&handle, ALL, NULL, 4, 3), STATUS_INVALID_PARAMETER);
}

/* As Wine's tests of the object manager record them for Windows. */
static void odd_attributes_give_windows_statuses(void **state)
{
    UNICODE_STRING name = text_of("\\BaseNamedObjects\\x"), empty = {0}, relative = text_of("x"),
                   odd = name, slash = text_of("\\"), missing = text_of("\\Nowhere\\x");
    OBJECT_ATTRIBUTES attributes = attributes_of(&name, 0);
    assert_status(create_event(NULL), STATUS_SUCCESS);
    assert_status(open_event(NULL), STATUS_INVALID_PARAMETER);
    assert_status(create_event(&attributes), STATUS_SUCCESS);
    attributes.Length--;
    assert_status(create_event(&attributes), STATUS_INVALID_PARAMETER);
    assert_status(open_event(&attributes), STATUS_INVALID_PARAMETER);
    attributes = attributes_of(NULL, 0);
    assert_status(create_event(&attributes), STATUS_SUCCESS);
    assert_status(open_event(&attributes), STATUS_OBJECT_PATH_SYNTAX_BAD);
    attributes.RootDirectory = (HANDLE)(uintptr_t)0xdeadbeef;
    assert_status(create_event(&attributes), STATUS_OBJECT_NAME_INVALID);
    assert_status(open_event(&attributes), STATUS_OBJECT_NAME_INVALID);
    attributes.ObjectName = &empty;
    assert_status(create_event(&attributes), STATUS_SUCCESS);
    attributes.ObjectName = &odd;
    odd.Length = 7;
    assert_status(create_event(&attributes), STATUS_OBJECT_NAME_INVALID);
    attributes.ObjectName = &relative;
    assert_status(create_event(&attributes), STATUS_INVALID_HANDLE);
    attributes.RootDirectory = NULL;
    assert_status(create_event(&attributes), STATUS_OBJECT_PATH_SYNTAX_BAD);
    attributes.ObjectName = &slash;
    assert_status(create_event(&attributes), STATUS_OBJECT_TYPE_MISMATCH);
    attributes.ObjectName = &missing;
    assert_status(create_event(&attributes), STATUS_OBJECT_PATH_NOT_FOUND);
}

static void states_can_be_queried(void **state)
{
    struct {
        LONG first, second;
    } answer;
    struct {
        LONG count;
        BOOLEAN owned, abandoned;
    } mutant;
    ULONG returned = 0;
    LONG previous = 7;
    HANDLE event = CreateEventW(NULL, FALSE, TRUE, NULL);
    HANDLE semaphore = CreateSemaphoreW(NULL, 2, 5, W("queried"));
    HANDLE mutex = CreateMutexW(NULL, TRUE, W("queried too"));
    assert_status(NtQueryEvent(event, 0, &answer, 8, &returned), STATUS_SUCCESS);
    assert_int_equal(returned, 8);
    assert_int_equal(answer.first, 1); /* SynchronizationEvent */
    assert_int_equal(answer.second, 1);
    assert_int_equal(NtQueryEvent(event, 0, &answer, 7, NULL),
                     (nt_status)STATUS_INFO_LENGTH_MISMATCH);
    assert_int_equal(NtQueryEvent(event, 9, &answer, 8, NULL),
                     (nt_status)STATUS_INVALID_INFO_CLASS);
    assert_status(NtQueryEvent(semaphore, 0, &answer, 8, NULL), STATUS_OBJECT_TYPE_MISMATCH);
    assert_status(NtPulseEvent(event, &previous), STATUS_SUCCESS);
    assert_int_equal(previous, 1);
    assert_status(NtSetEvent(event, &previous), STATUS_SUCCESS);
    assert_int_equal(previous, 0);
    assert_status(NtQuerySemaphore(semaphore, 0, &answer, 8, NULL), STATUS_SUCCESS);
    assert_int_equal(answer.first, 2);
    assert_int_equal(answer.second, 5);
    assert_int_equal(WaitForSingleObject(mutex, 0), 0);
    assert_status(NtQueryMutant(mutex, 0, &mutant, sizeof(mutant), NULL), STATUS_SUCCESS);
    assert_int_equal(mutant.count, -1);
    assert_true(mutant.owned);
    assert_false(mutant.abandoned);
    assert_status(NtReleaseMutant(mutex, &previous), STATUS_SUCCESS);
    assert_int_equal(previous, -1);
    assert_status(NtReleaseMutant(mutex, &previous), STATUS_SUCCESS);
    assert_int_equal(previous, 0);
    assert_status(NtReleaseMutant(mutex, &previous), STATUS_MUTANT_NOT_OWNED);
    assert_true(CloseHandle(event));
    assert_true(CloseHandle(semaphore));
    assert_true(CloseHandle(mutex));
}

/* ---- timers of two processes --------------------------------------------------------------------
 */

static int to_helper = -1, from_helper = -1;
static pid_t helper;

static const int64_t soon = -500000, much_later = -600000000; /* 50 ms, a minute */

/* The other process: s = sets the timer, c = cancels it, w = waits for it. */
static char obey(char command)
{
    HANDLE timer = OpenWaitableTimerW(ALL, FALSE, W("shared timer"));
    bool done = false;
    if (command == 's')
        done = SetWaitableTimer(timer, &soon, 0, NULL, NULL, FALSE);
    else if (command == 'c')
        done = CancelWaitableTimer(timer);
    else if (command == 'w')
        done = WaitForSingleObject(timer, LONG_TIME) == 0;
    return done && CloseHandle(timer) ? 'y' : 'n';
}

static void serve(int in, int out)
{
    char command;
    if (win32_test_setup(NULL) != 0)
        _exit(1);
    while (read(in, &command, 1) == 1) {
        char answer = obey(command);
        if (write(out, &answer, 1) != 1)
            _exit(2);
    }
    exit(0);
}

/* Before this process has anything of its own. */
static void start_helper(void)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        abort();
    helper = fork();
    if (helper == 0) {
        close(in[1]);
        serve(in[0], out[1]);
    }
    close(in[0]);
    close(out[1]);
    to_helper = in[1];
    from_helper = out[0];
}

static void tell(char command)
{
    assert_int_equal(write(to_helper, &command, 1), 1);
}

static char hear(void)
{
    char answer = 0;
    assert_int_equal(read(from_helper, &answer, 1), 1);
    return answer;
}

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int routine_calls;

static void WINAPI_DEF routine(void *argument, DWORD low, DWORD high)
{
    routine_calls += *(int *)argument;
}

static void a_timer_is_due_in_all_processes(void **state)
{
    HANDLE timer = CreateWaitableTimerW(NULL, FALSE, W("shared timer"));
    int64_t start = milliseconds();
    tell('s'); /* which closes it again */
    assert_int_equal(hear(), 'y');
    assert_int_equal(WaitForSingleObject(timer, LONG_TIME), 0);
    assert_in_range(milliseconds() - start, 45, LONG_TIME / 2);
    assert_int_equal(WaitForSingleObject(timer, 0), WAIT_TIMEOUT);

    assert_true(SetWaitableTimer(timer, &soon, 0, NULL, NULL, FALSE));
    tell('w');
    assert_int_equal(hear(), 'y');
    assert_int_equal(WaitForSingleObject(timer, 0), WAIT_TIMEOUT); /* the other has taken it */
    assert_true(CloseHandle(timer));
}

static void settings_of_others_count(void **state)
{
    int one = 1;
    HANDLE timer = CreateWaitableTimerW(NULL, TRUE, W("shared timer"));
    routine_calls = 0;
    assert_true(SetWaitableTimer(timer, &soon, 0, routine, &one, FALSE));
    assert_int_equal(SleepEx(LONG_TIME, TRUE), 0xC0);
    assert_int_equal(routine_calls, 1);
    assert_true(SetWaitableTimer(timer, &soon, 0, routine, &one, FALSE));
    tell('c');
    assert_int_equal(hear(), 'y');
    assert_int_equal(SleepEx(150, TRUE), 0);
    assert_int_equal(WaitForSingleObject(timer, 0), WAIT_TIMEOUT);
    assert_true(SetWaitableTimer(timer, &much_later, 0, routine, &one, FALSE));
    tell('s'); /* it is due, but not for the routine */
    assert_int_equal(hear(), 'y');
    assert_int_equal(WaitForSingleObject(timer, LONG_TIME), 0);
    assert_int_equal(SleepEx(50, TRUE), 0);
    assert_int_equal(routine_calls, 1);
    assert_true(CloseHandle(timer));
}

static void periodic_timers_go_on_when_their_setter_is_gone(void **state)
{
    HANDLE timer = CreateWaitableTimerW(NULL, FALSE, W("shared timer"));
    assert_true(SetWaitableTimer(timer, &soon, 20, NULL, NULL, FALSE));
    for (int i = 0; i < 3; i++) {
        tell('w');
        assert_int_equal(hear(), 'y');
        assert_int_equal(WaitForSingleObject(timer, LONG_TIME), 0);
    }
    assert_true(CloseHandle(timer));
}

/* As when a child inherits it: set before, due afterwards. */
static void a_timer_gets_shared(void **state)
{
    struct ob_object *object, *same;
    struct ob_parcel parcel;
    HANDLE timer = CreateWaitableTimerW(NULL, FALSE, NULL);
    assert_true(SetWaitableTimer(timer, &soon, 0, NULL, NULL, FALSE));
    assert_status(ob_handle_get(win32_ob_handle(timer), NULL, &object, NULL), STATUS_SUCCESS);
    assert_false(ob_is_shared(object));
    assert_status(ob_pack(object, &parcel, NULL), STATUS_SUCCESS);
    assert_int_equal(parcel.type, OB_TYPE_TIMER);
    assert_true(ob_is_shared(object));
    assert_int_equal(WaitForSingleObject(timer, LONG_TIME), 0);
    assert_true(SetWaitableTimer(timer, &soon, 0, NULL, NULL, FALSE));
    assert_int_equal(WaitForSingleObject(timer, LONG_TIME), 0);
    assert_int_equal(WaitForSingleObject(timer, 0), WAIT_TIMEOUT);
    assert_status(ob_unpack(&parcel, &same, NULL), STATUS_SUCCESS);
    assert_ptr_equal(same, object);
    ob_object_unref(same);
    ob_object_unref(object);
    assert_true(CloseHandle(timer));
}

/* ---- set-up -------------------------------------------------------------------------------------
 */

static int tear_down(void **state)
{
    int status = -1;
    close(to_helper);
    if (waitpid(helper, &status, 0) != helper || status != 0)
        return -1;
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_types_have_one_namespace),
        cmocka_unit_test(odd_names_give_windows_errors),
        cmocka_unit_test(prefixes_are_directories),
        cmocka_unit_test(names_may_have_32_ki_units),
        cmocka_unit_test(what_exists_is_not_changed),
        cmocka_unit_test(processes_share_names),
        cmocka_unit_test(a_foreign_directory_lets_nobody_in),
        cmocka_unit_test(absolute_names_lead_to_the_same_objects),
        cmocka_unit_test(odd_attributes_give_windows_statuses),
        cmocka_unit_test(states_can_be_queried),
        cmocka_unit_test(a_timer_is_due_in_all_processes),
        cmocka_unit_test(settings_of_others_count),
        cmocka_unit_test(periodic_timers_go_on_when_their_setter_is_gone),
        cmocka_unit_test(a_timer_gets_shared),
    };
    if (tempdir_create() != 0 || setenv("XDG_RUNTIME_DIR", tempdir, 1) != 0)
        return 1;
    start_helper();
    return cmocka_run_group_tests(tests, win32_test_setup, tear_down);
}
