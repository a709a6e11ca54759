/*
 * Files between processes: every pair of access and share modes, deletion of what others have open,
 * mapped files and images, and holders that are killed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "loader/ob/fileshare.h"
#include "loader/win32/file.h"
#include "tests/unit/tempdir.h"
#include "tests/unit/win32_fn.h"

K32(CreateFileA, HANDLE, const char *name, DWORD access, DWORD share, void *security,
    DWORD disposition, DWORD flags, HANDLE template_file)
K32(ReadFile, BOOL, HANDLE file, void *buffer, DWORD size, DWORD *done, OVERLAPPED *overlapped)
K32(WriteFile, BOOL, HANDLE file, const void *buffer, DWORD size, DWORD *done,
    OVERLAPPED *overlapped)
K32(CloseHandle, BOOL, HANDLE handle)
K32(SetFilePointer, DWORD, HANDLE file, LONG low, LONG *high, DWORD method)
K32(SetEndOfFile, BOOL, HANDLE file)
K32(GetFileSize, DWORD, HANDLE file, DWORD *high)
K32(GetFileAttributesA, DWORD, const char *name)
K32(GetFileInformationByHandleEx, BOOL, HANDLE file, DWORD class, void *info, DWORD size)
K32(SetFileInformationByHandle, BOOL, HANDLE file, DWORD class, const void *info, DWORD size)
K32(DeleteFileA, BOOL, const char *name)
K32(RemoveDirectoryA, BOOL, const char *name)
K32(CreateDirectoryA, BOOL, const char *name, void *security)
K32(MoveFileA, BOOL, const char *from, const char *to)
K32(MoveFileExA, BOOL, const char *from, const char *to, DWORD flags)
K32(CopyFileA, BOOL, const char *from, const char *to, BOOL exclusive)
K32(LockFile, BOOL, HANDLE file, DWORD low, DWORD high, DWORD size_low, DWORD size_high)

enum { R = 1, W = 2, D = 4, RW = R | W, ALL = 7 };

/* ---- another process ---------------------------------------------------------------------------
 */

/* What it is asked to do; it answers with a last error, 0 = done. */
enum op { OPEN, CLOSE, USE };
struct request {
    enum op op;
    DWORD access, share, disposition, flags;
    enum ob_file_use use;
    char name[32];
};

static struct {
    pid_t pid;
    int requests, answers;
} helper;

static DWORD access_of(uint32_t bits)
{
    return (bits & R ? GENERIC_READ : 0) | (bits & W ? (DWORD)GENERIC_WRITE : 0) |
           (bits & D ? FILE_DELETE : 0);
}

static HANDLE open_with(const char *name, uint32_t access, uint32_t share, DWORD disposition,
                        DWORD flags)
{
    ke_set_last_error(0);
    return CreateFileA(tempdir_path(name), access_of(access), share, NULL, disposition, flags,
                       NULL);
}

static HANDLE open_file(const char *name, uint32_t access, uint32_t share)
{
    return open_with(name, access, share, OPEN_EXISTING, 0);
}

static DWORD obey(const struct request *request)
{
    static HANDLE file = INVALID_HANDLE_VALUE;
    static int section = -1;
    switch (request->op) {
    case OPEN:
        file = open_with(request->name, request->access, request->share, request->disposition,
                         request->flags);
        return file == INVALID_HANDLE_VALUE ? ke_last_error() : 0;
    case USE:
        section = open(tempdir_path(request->name), O_RDONLY | O_CLOEXEC);
        ob_fileshare_use(section, request->use);
        return 0;
    default:
        if (section >= 0)
            close(section);
        else
            CloseHandle(file);
        section = -1;
        return 0;
    }
}

static void serve(int requests, int answers)
{
    struct request request;
    while (read(requests, &request, sizeof(request)) == sizeof(request)) {
        DWORD answer = obey(&request);
        if (write(answers, &answer, sizeof(answer)) != sizeof(answer))
            break;
    }
    _exit(0);
}

static void start_helper(void)
{
    int requests[2], answers[2];
    assert_int_equal(pipe2(requests, O_CLOEXEC), 0);
    assert_int_equal(pipe2(answers, O_CLOEXEC), 0);
    helper.pid = fork();
    if (helper.pid == 0) {
        close(requests[1]);
        serve(requests[0], answers[1]);
    }
    close(requests[0]);
    close(answers[1]);
    helper.requests = requests[1];
    helper.answers = answers[0];
}

static void kill_helper(void)
{
    assert_int_equal(kill(helper.pid, SIGKILL), 0);
    assert_int_equal(waitpid(helper.pid, NULL, 0), helper.pid);
    close(helper.requests);
    close(helper.answers);
}

static DWORD ask(struct request request)
{
    DWORD answer;
    assert_int_equal(write(helper.requests, &request, sizeof(request)), sizeof(request));
    assert_int_equal(read(helper.answers, &answer, sizeof(answer)), sizeof(answer));
    return answer;
}

static DWORD other_opens(const char *name, uint32_t access, uint32_t share)
{
    struct request request = {OPEN, access, share, OPEN_EXISTING, 0, 0, ""};
    strcpy(request.name, name);
    return ask(request);
}

static void other_uses(const char *name, enum ob_file_use use)
{
    struct request request = {.op = USE, .use = use};
    strcpy(request.name, name);
    assert_int_equal(ask(request), 0);
}

static void other_closes(void)
{
    assert_int_equal(ask((struct request){.op = CLOSE}), 0);
}

static int setup(void **state)
{
    if (win32_test_setup(state) || tempdir_create())
        return -1;
    start_helper();
    return 0;
}

static int teardown(void **state)
{
    kill_helper();
    return tempdir_remove();
}

static void make(const char *name)
{
    tempdir_write(name, "content", 7);
}

static bool exists(const char *name)
{
    return access(tempdir_path(name), F_OK) == 0;
}

#define assert_open_fails(call, error)                \
    do {                                              \
        assert_ptr_equal(call, INVALID_HANDLE_VALUE); \
        assert_int_equal(ke_last_error(), error);     \
    } while (0)

/* ---- share modes --------------------------------------------------------------------------------
 */

/* "Creating and Opening Files": which second calls Microsoft's table calls valid. */
static const struct {
    uint8_t access, share;
    struct {
        uint8_t access, share;
    } valid[8];
} published[] = {
    {R, R, {{R, R}, {R, RW}}},
    {R, W, {{W, R}, {W, RW}}},
    {R, RW, {{R, R}, {R, RW}, {W, R}, {W, RW}, {RW, R}, {RW, RW}}},
    {W, R, {{R, W}, {R, RW}}},
    {W, W, {{W, W}, {W, RW}}},
    {W, RW, {{R, W}, {R, RW}, {W, W}, {W, RW}, {RW, W}, {RW, RW}}},
    {RW, R, {{R, RW}}},
    {RW, W, {{W, RW}}},
    {RW, RW, {{R, RW}, {W, RW}, {RW, RW}}},
};

/* Without delete the table is complete: what it does not call valid fails. */
static bool is_published(uint32_t a1, uint32_t s1, uint32_t a2, uint32_t s2)
{
    for (size_t i = 0; i < sizeof(published) / sizeof(*published); i++) {
        for (int k = 0; k < 8 && published[i].access == a1 && published[i].share == s1; k++) {
            if (published[i].valid[k].access == a2 && published[i].valid[k].share == s2)
                return true;
        }
    }
    return false;
}

static bool is_in_table(uint32_t access, uint32_t share)
{
    return access && share && !((access | share) & D);
}

/* Each must share what the other has; who asks for attributes alone is out of it. */
static bool is_allowed(uint32_t a1, uint32_t s1, uint32_t a2, uint32_t s2)
{
    return !a1 || !a2 || !((a2 & ~s1) || (a1 & ~s2));
}

static void check_second(uint32_t a1, uint32_t s1, uint32_t a2, uint32_t s2)
{
    bool allowed = is_allowed(a1, s1, a2, s2);
    if (is_in_table(a1, s1) && is_in_table(a2, s2))
        assert_int_equal(allowed, is_published(a1, s1, a2, s2));
    HANDLE second = open_file("pair", a2, s2);
    DWORD error = ke_last_error();
    bool opened = second != INVALID_HANDLE_VALUE;
    if (opened != allowed || (!opened && error != ERROR_SHARING_VIOLATION))
        fail_msg("%u/%u after %u/%u: error %u", a2, s2, a1, s1, error);
    if (opened)
        assert_true(CloseHandle(second));
}

static void test_pairs_in_one_process(void **state)
{
    make("pair");
    for (uint32_t first = 0; first < 64; first++) {
        HANDLE file = open_file("pair", first & 7, first >> 3);
        if (file == INVALID_HANDLE_VALUE)
            fail_msg("%u/%u first: error %u", first & 7, first >> 3, ke_last_error());
        for (uint32_t second = 0; second < 64; second++)
            check_second(first & 7, first >> 3, second & 7, second >> 3);
        assert_true(CloseHandle(file));
    }
}

static void test_pairs_between_processes(void **state)
{
    make("pair");
    for (uint32_t first = 0; first < 64; first++) {
        assert_int_equal(other_opens("pair", first & 7, first >> 3), 0);
        for (uint32_t second = 0; second < 64; second++)
            check_second(first & 7, first >> 3, second & 7, second >> 3);
        other_closes();
    }
}

static void test_killed_holder(void **state)
{
    make("killed");
    assert_int_equal(other_opens("killed", RW, 0), 0);
    assert_open_fails(open_file("killed", R, ALL), ERROR_SHARING_VIOLATION);
    assert_fails(DeleteFileA(tempdir_path("killed")), ERROR_SHARING_VIOLATION);
    assert_fails(MoveFileA(tempdir_path("killed"), tempdir_path("moved")), ERROR_SHARING_VIOLATION);
    kill_helper();
    HANDLE file = open_file("killed", RW | D, 0);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_true(CloseHandle(file));
    start_helper();
}

/* An open that is refused has changed nothing. */
static void test_refused_opens_keep_the_content(void **state)
{
    make("kept");
    assert_int_equal(other_opens("kept", R, R), 0);
    assert_open_fails(open_with("kept", W, ALL, CREATE_ALWAYS, 0), ERROR_SHARING_VIOLATION);
    assert_open_fails(open_with("kept", W, ALL, TRUNCATE_EXISTING, 0), ERROR_SHARING_VIOLATION);
    /* Overwriting is writing, whatever access it is asked for with. */
    assert_open_fails(open_with("kept", R, ALL, CREATE_ALWAYS, 0), ERROR_SHARING_VIOLATION);
    assert_fails(CopyFileA(tempdir_path("pair"), tempdir_path("kept"), FALSE),
                 ERROR_SHARING_VIOLATION);
    HANDLE file = open_file("kept", R, ALL);
    assert_int_equal(GetFileSize(file, NULL), 7);
    assert_true(CloseHandle(file));
    other_closes();
}

/* A lock over all that a file can have does not touch who has it open. */
static void test_locks_of_images_are_apart(void **state)
{
    make("locked");
    HANDLE file = open_file("locked", RW, ALL);
    assert_true(LockFile(file, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF));
    assert_true(LockFile(file, 0xFFFFFFFF, 0xFFFFFFFF, 1, 0));
    assert_int_equal(other_opens("locked", RW | D, ALL), 0);
    other_closes();
    assert_true(CloseHandle(file));
}

/* ---- deleting -----------------------------------------------------------------------------------
 */

/* Where the file system keeps no attributes of ours the name of a deleted file goes at once. */
static void need_marks(void)
{
    make("probe");
    if (setxattr(tempdir_path("probe"), "user.peldr.probe", "x", 1, 0) != 0) {
        print_message("the file system has no user attributes\n");
        skip();
    }
}

static void test_deleted_while_open_elsewhere(void **state)
{
    need_marks();
    make("doomed");
    const char *path = tempdir_path("doomed");
    assert_int_equal(other_opens("doomed", R, R | W), 0);
    assert_fails(DeleteFileA(path), ERROR_SHARING_VIOLATION);
    other_closes();
    assert_int_equal(other_opens("doomed", R, ALL), 0);
    assert_true(DeleteFileA(path));
    assert_true(exists("doomed"));
    assert_open_fails(open_file("doomed", R, ALL), ERROR_ACCESS_DENIED);
    assert_open_fails(open_with("doomed", RW, ALL, CREATE_ALWAYS, 0), ERROR_ACCESS_DENIED);
    assert_fails(DeleteFileA(path), ERROR_ACCESS_DENIED);
    other_closes();
    assert_false(exists("doomed"));
    assert_open_fails(open_file("doomed", R, ALL), ERROR_FILE_NOT_FOUND);
}

static void test_deletion_survives_a_kill(void **state)
{
    need_marks();
    make("orphan");
    assert_int_equal(other_opens("orphan", R, ALL), 0);
    assert_true(DeleteFileA(tempdir_path("orphan")));
    kill_helper();
    assert_open_fails(open_file("orphan", R, ALL), ERROR_FILE_NOT_FOUND);
    assert_false(exists("orphan"));
    /* The name is free for a file that is none of the old one's business. */
    start_helper();
    make("orphan");
    assert_int_equal(other_opens("orphan", R, ALL), 0);
    assert_true(DeleteFileA(tempdir_path("orphan")));
    kill_helper();
    HANDLE file = open_with("orphan", W, 0, CREATE_ALWAYS, 0);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_int_equal(ke_last_error(), ERROR_SUCCESS); /* not ERROR_ALREADY_EXISTS */
    assert_true(CloseHandle(file));
    assert_true(exists("orphan"));
    start_helper();
}

static void test_delete_on_close(void **state)
{
    DWORD flags = FILE_FLAG_DELETE_ON_CLOSE;
    need_marks();
    HANDLE one = open_with("temp", RW, ALL, CREATE_NEW, flags);
    assert_ptr_not_equal(one, INVALID_HANDLE_VALUE);
    assert_open_fails(open_file("temp", R, R | W), ERROR_SHARING_VIOLATION);
    assert_int_equal(other_opens("temp", R, ALL), 0);
    assert_true(CloseHandle(one));
    assert_true(exists("temp")); /* the other one still has it, and nobody else gets it */
    assert_open_fails(open_file("temp", R, ALL), ERROR_ACCESS_DENIED);
    other_closes();
    assert_false(exists("temp"));
}

/* One file object in two processes: it is closed when both have closed it. */
static void test_delete_on_close_of_an_inherited_file(void **state)
{
    int go[2];
    char byte;
    HANDLE file = open_with("shared", RW, ALL, CREATE_NEW, FILE_FLAG_DELETE_ON_CLOSE);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        close(go[1]);
        _exit(read(go[0], &byte, 1) == 0 && CloseHandle(file) ? 0 : 1);
    }
    close(go[0]);
    assert_true(CloseHandle(file));
    assert_true(exists("shared"));
    close(go[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(exists("shared"));
}

struct standard {
    int64_t allocation, end;
    DWORD links;
    BOOLEAN pending, directory;
};

static void test_disposition(void **state)
{
    const BYTE yes = 1, no = 0;
    struct standard info;
    need_marks();
    make("disposed");
    HANDLE file = open_file("disposed", R, ALL);
    assert_fails(SetFileInformationByHandle(file, 4, &yes, 1), ERROR_ACCESS_DENIED);
    assert_true(CloseHandle(file));
    file = open_file("disposed", R | D, ALL);
    assert_true(SetFileInformationByHandle(file, 4, &yes, 1));
    assert_true(GetFileInformationByHandleEx(file, 1, &info, 24));
    assert_true(info.pending);
    assert_int_equal(other_opens("disposed", R, ALL), ERROR_ACCESS_DENIED);
    assert_true(SetFileInformationByHandle(file, 4, &no, 1));
    assert_true(GetFileInformationByHandleEx(file, 1, &info, 24));
    assert_false(info.pending);
    assert_int_equal(other_opens("disposed", R, ALL), 0);
    other_closes();
    assert_true(SetFileInformationByHandle(file, 4, &yes, 1));
    assert_true(CloseHandle(file));
    assert_false(exists("disposed"));
}

/* The mark of a deleted file means one inode and one name: copies do not inherit it. */
static void test_marks_do_not_spread(void **state)
{
    need_marks();
    make("marked");
    assert_int_equal(other_opens("marked", R, ALL), 0);
    assert_true(DeleteFileA(tempdir_path("marked")));
    assert_int_equal(rename(tempdir_path("marked"), tempdir_path("saved")), 0);
    other_closes();
    assert_true(exists("saved"));
    HANDLE file = open_file("saved", R, ALL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_true(CloseHandle(file));
    assert_true(exists("saved"));
}

static void test_moving(void **state)
{
    make("from");
    make("to");
    assert_int_equal(other_opens("from", R, R | W), 0);
    assert_fails(MoveFileA(tempdir_path("from"), tempdir_path("new")), ERROR_SHARING_VIOLATION);
    other_closes();
    assert_int_equal(other_opens("to", R, R | W), 0);
    assert_fails(MoveFileA(tempdir_path("from"), tempdir_path("to")), ERROR_ALREADY_EXISTS);
    assert_fails(MoveFileExA(tempdir_path("from"), tempdir_path("to"), 1), ERROR_ACCESS_DENIED);
    other_closes();
    assert_true(MoveFileExA(tempdir_path("from"), tempdir_path("to"), 1));
    assert_false(exists("from"));
    assert_int_equal(other_opens("to", R, ALL), 0);
    assert_true(MoveFileA(tempdir_path("to"), tempdir_path("From")));
    other_closes();
    assert_true(CopyFileA(tempdir_path("From"), tempdir_path("copy"), TRUE));
    assert_fails(CopyFileA(tempdir_path("From"), tempdir_path("copy"), TRUE), ERROR_FILE_EXISTS);
}

static void test_directories(void **state)
{
    assert_true(CreateDirectoryA(tempdir_path("folder"), NULL));
    HANDLE folder = open_with("folder", R, R | W, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS);
    assert_ptr_not_equal(folder, INVALID_HANDLE_VALUE);
    assert_fails(RemoveDirectoryA(tempdir_path("folder")), ERROR_SHARING_VIOLATION);
    assert_true(CloseHandle(folder));
    make("folder/file");
    assert_fails(RemoveDirectoryA(tempdir_path("folder")), ERROR_DIR_NOT_EMPTY);
    assert_fails(RemoveDirectoryA(tempdir_path("folder/file")), ERROR_DIRECTORY);
    assert_fails(DeleteFileA(tempdir_path("folder")), ERROR_ACCESS_DENIED);
    assert_true(DeleteFileA(tempdir_path("folder/file")));
    assert_true(RemoveDirectoryA(tempdir_path("folder")));
}

/* ---- at the same moment ---- */

/* Two processes meet here: the last one lets both go on at once. */
struct meeting {
    uint32_t here;
};

static void meet(struct meeting *meeting)
{
    uint32_t now = __atomic_add_fetch(&meeting->here, 1, __ATOMIC_ACQ_REL);
    uint32_t all = (now + 1) / 2 * 2;
    for (int spins = 0; __atomic_load_n(&meeting->here, __ATOMIC_ACQUIRE) < all; spins++) {
        if (spins > 1000)
            sched_yield();
        if (getppid() == 1)
            _exit(4);
    }
}

enum { MEETINGS = 500 };

static void open_and_close(struct meeting *meeting)
{
    for (int round = 0; round < MEETINGS; round++) {
        meet(meeting); /* the file is there */
        HANDLE file = open_file("moment", R, ALL);
        if (file == INVALID_HANDLE_VALUE)
            _exit(1);
        meet(meeting);
        CloseHandle(file);
        meet(meeting);
    }
    _exit(0);
}

/* The one deletes while the other closes: whoever comes last, the name is gone. */
static void test_deleting_while_another_closes(void **state)
{
    struct meeting *meeting =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const char *path = tempdir_path("moment");
    uint32_t pending = 0;
    pid_t child = fork();
    if (child == 0)
        open_and_close(meeting);
    for (int round = 0; round < MEETINGS; round++) {
        make("moment");
        meet(meeting);
        meet(meeting);
        assert_true(DeleteFileA(path));
        pending += exists("moment");
        meet(meeting);
        assert_false(exists("moment"));
    }
    print_message("%u of %u deletions had to wait\n", pending, (unsigned)MEETINGS);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    munmap(meeting, 4096);
}

enum { USERS = 3, KILLS = 60 };

/* Has the file alone, again and again, and finds in it what it wrote. */
static void use_alone(uint32_t id)
{
    uint32_t back;
    DWORD done;
    for (uint32_t round = 0;; round++) {
        DWORD flags = round % 3 == 0 ? FILE_FLAG_DELETE_ON_CLOSE : 0;
        uint32_t mine = id << 24 | round;
        HANDLE file = open_with("alone", RW, 0, CREATE_ALWAYS, flags);
        if (file == INVALID_HANDLE_VALUE) {
            /* Denied: it is being deleted. */
            if (ke_last_error() != ERROR_SHARING_VIOLATION &&
                ke_last_error() != ERROR_ACCESS_DENIED) {
                fprintf(stderr, "CreateFile: error %u\n", ke_last_error());
                _exit(1);
            }
            sched_yield();
            continue;
        }
        OVERLAPPED start = {0};
        if (!WriteFile(file, &mine, sizeof(mine), &done, NULL))
            _exit(2);
        usleep(round % 7 * 50);
        if (!ReadFile(file, &back, sizeof(back), &done, &start) || back != mine ||
            GetFileSize(file, NULL) != sizeof(mine))
            _exit(3);
        CloseHandle(file);
    }
}

static void kill_user(pid_t user)
{
    int status;
    assert_int_equal(kill(user, SIGKILL), 0);
    assert_int_equal(waitpid(user, &status, 0), user);
    assert_int_equal(status, SIGKILL); /* it had not given up by itself */
}

static pid_t start_user(uint32_t id)
{
    pid_t user = fork();
    if (user == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        use_alone(id);
    }
    return user;
}

static void test_alone_among_the_killed(void **state)
{
    pid_t users[USERS];
    for (uint32_t i = 0; i < USERS; i++)
        users[i] = start_user(i + 1);
    for (uint32_t kills = 0; kills < KILLS; kills++) {
        uint32_t i = kills * 7 % USERS;
        usleep(2000 + kills * 37 % 900);
        kill_user(users[i]);
        users[i] = start_user(kills + 10);
    }
    for (uint32_t i = 0; i < USERS; i++)
        kill_user(users[i]);
    HANDLE file = open_with("alone", RW, 0, CREATE_ALWAYS, FILE_FLAG_DELETE_ON_CLOSE);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_true(CloseHandle(file));
    assert_false(exists("alone"));
}

/* ---- mapped files
 * -------------------------------------------------------------------------------- */

static void test_mapped_as_data(void **state)
{
    make("data");
    HANDLE file = open_file("data", RW, ALL);
    other_uses("data", OB_FILE_MAPPED);
    assert_int_equal(SetFilePointer(file, 3, NULL, 0), 3);
    assert_fails(SetEndOfFile(file), ERROR_USER_MAPPED_FILE);
    assert_open_fails(open_with("data", RW, ALL, CREATE_ALWAYS, 0), ERROR_USER_MAPPED_FILE);
    assert_open_fails(open_with("data", W, ALL, TRUNCATE_EXISTING, 0), ERROR_USER_MAPPED_FILE);
    assert_fails(DeleteFileA(tempdir_path("data")), ERROR_ACCESS_DENIED);
    assert_int_equal(GetFileSize(file, NULL), 7);
    /* Growing takes nothing away. */
    assert_int_equal(SetFilePointer(file, 9, NULL, 0), 9);
    assert_true(SetEndOfFile(file));
    other_closes();
    assert_int_equal(SetFilePointer(file, 3, NULL, 0), 3);
    assert_true(SetEndOfFile(file));
    assert_true(CloseHandle(file));
    assert_true(DeleteFileA(tempdir_path("data")));
}

static void test_mapped_as_image(void **state)
{
    make("image");
    const BYTE yes = 1;
    other_uses("image", OB_FILE_IMAGE);
    assert_open_fails(open_file("image", W, ALL), ERROR_SHARING_VIOLATION);
    assert_open_fails(open_with("image", R, ALL, CREATE_ALWAYS, 0), ERROR_SHARING_VIOLATION);
    assert_open_fails(open_with("image", R, ALL, OPEN_EXISTING, FILE_FLAG_DELETE_ON_CLOSE),
                      ERROR_ACCESS_DENIED);
    assert_fails(DeleteFileA(tempdir_path("image")), ERROR_ACCESS_DENIED);
    HANDLE file = open_file("image", R | D, ALL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_fails(SetFileInformationByHandle(file, 4, &yes, 1), ERROR_ACCESS_DENIED);
    assert_true(CloseHandle(file));
    /* Renaming a program that runs is allowed. */
    assert_true(MoveFileA(tempdir_path("image"), tempdir_path("old")));
    kill_helper();
    assert_true(DeleteFileA(tempdir_path("old")));
    start_helper();
}

static void test_section_that_may_write(void **state)
{
    make("writable");
    other_uses("writable", OB_FILE_WRITABLE);
    assert_open_fails(open_file("writable", R, R | D), ERROR_SHARING_VIOLATION);
    HANDLE file = open_file("writable", R, R | W);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_true(CloseHandle(file));
    other_closes();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs_in_one_process),
        cmocka_unit_test(test_pairs_between_processes),
        cmocka_unit_test(test_killed_holder),
        cmocka_unit_test(test_refused_opens_keep_the_content),
        cmocka_unit_test(test_locks_of_images_are_apart),
        cmocka_unit_test(test_deleted_while_open_elsewhere),
        cmocka_unit_test(test_deletion_survives_a_kill),
        cmocka_unit_test(test_delete_on_close),
        cmocka_unit_test(test_delete_on_close_of_an_inherited_file),
        cmocka_unit_test(test_disposition),
        cmocka_unit_test(test_marks_do_not_spread),
        cmocka_unit_test(test_moving),
        cmocka_unit_test(test_directories),
        cmocka_unit_test(test_deleting_while_another_closes),
        cmocka_unit_test(test_alone_among_the_killed),
        cmocka_unit_test(test_mapped_as_data),
        cmocka_unit_test(test_mapped_as_image),
        cmocka_unit_test(test_section_that_may_write),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
