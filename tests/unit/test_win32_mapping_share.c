/*
 * Sections that processes share: by name, by handle, by a view that one maps in another; of either
 * word size; and how long names and contents live (facts 4.1, 4.4).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "loader/ob/process.h"
#include "tests/unit/mapping_test.h"
#include "tests/unit/peer.h"

K32(OpenProcess, HANDLE, DWORD access, BOOL inherit, DWORD id)
K32(OpenEventA, HANDLE, DWORD access, BOOL inherit, const char *name)
NT(NtMapViewOfSection, nt_status, HANDLE section, HANDLE process, void **base, ULONG_PTR zero_bits,
   SIZE_T commit, int64_t *offset, SIZE_T *size, ULONG inherit, ULONG type, ULONG protect)
NT(NtUnmapViewOfSection, nt_status, HANDLE process, void *address)

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* Files of live objects in the runtime directory; the bell is no object. */
static int objects_on_disk(void)
{
    int count = 0;
    DIR *dir = opendir(tempdir_path("peldr"));
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        count += strncmp(entry->d_name, "n-", 2) == 0;
    if (dir)
        closedir(dir);
    return count;
}

static struct peer start(int word)
{
    return peer_start_program("mapping_peer", word);
}

/* A test for a peer of each word size there is. */
static void with_each_word(void (*test)(int word))
{
    for (int word = 32; word <= 64; word += 32) {
        if (!peer_has_word(word))
            continue;
        test(word);
        assert_int_equal(objects_on_disk(), 0);
    }
}

/* ---- names --------------------------------------------------------------------------------------
 */

static void share_by_name(int word)
{
    uint32_t error;
    struct peer peer = start(word);
    HANDLE section = paging(PAGE_READWRITE, 3 * UNIT, "shared text");
    assert_int_equal(ke_last_error(), 0);
    uint8_t *view = MapViewOfFile(section, MAP_WRITE, 0, 0, 0);
    view[2 * UNIT] = 0x5A;
    uint32_t theirs = peer_ask2(&peer, &error, "create 0 %d 4096 shared text", PAGE_READWRITE);
    assert_int_not_equal(theirs, 0);
    assert_int_equal(error, ERROR_ALREADY_EXISTS); /* with the existing object's size */
    assert_int_equal(peer_ask(&peer, "map %u %d 0", theirs, MAP_WRITE), 1);
    assert_int_equal(peer_ask(&peer, "peek %d", 2 * UNIT), 0x5A);
    peer_ask(&peer, "poke %d %d", UNIT, 0xA5);
    assert_int_equal(view[UNIT], 0xA5);
    assert_true(UnmapViewOfFile(view) && CloseHandle(section));
    /* The peer keeps it; a killed peer does not. */
    section = OpenFileMappingA(MAP_ALL, FALSE, "shared text");
    assert_non_null(section);
    assert_true(CloseHandle(section));
    peer_kill(&peer);
    assert_fails(OpenFileMappingA(MAP_ALL, FALSE, "shared text"), ERROR_FILE_NOT_FOUND);
    section = paging(PAGE_READWRITE, 4096, "shared text");
    assert_int_equal(ke_last_error(), 0);
    view = MapViewOfFile(section, MAP_WRITE, 0, 0, 0);
    assert_int_equal(view[0], 0);
    assert_int_equal(query_at(view).RegionSize, 4096);
    assert_true(UnmapViewOfFile(view) && CloseHandle(section));
}

static void named_sections_are_shared(void **state)
{
    with_each_word(share_by_name);
}

static void name_without_handle(int word)
{
    uint32_t error;
    struct peer peer = start(word);
    uint32_t theirs = peer_ask(&peer, "create 0 %d 4096 a name", PAGE_READWRITE);
    peer_ask(&peer, "map %u %d 0", theirs, MAP_WRITE);
    peer_ask(&peer, "poke 0 7");
    HANDLE section = OpenFileMappingA(MAP_ALL, FALSE, "a name");
    uint8_t *view = MapViewOfFile(section, MAP_WRITE, 0, 0, 0);
    assert_true(CloseHandle(section));
    peer_ask(&peer, "close %u", theirs);
    /* Two views are left, and no handle: the name is free. */
    assert_fails(OpenFileMappingA(MAP_ALL, FALSE, "a name"), ERROR_FILE_NOT_FOUND);
    theirs = peer_ask2(&peer, &error, "create 0 %d 4096 a name", PAGE_READWRITE);
    assert_int_equal(error, 0);
    view[1] = 8; /* the old object, which its views hold */
    assert_int_equal(peer_ask(&peer, "peek 0"), 7);
    assert_int_equal(peer_ask(&peer, "peek 1"), 8);
    peer_ask(&peer, "map %u %d 0", theirs, MAP_READ);
    assert_int_equal(peer_ask(&peer, "peek 0"), 0); /* the new one */
    assert_true(UnmapViewOfFile(view));
    assert_int_equal(peer_exit(&peer, 0), 0);
}

static void a_name_goes_with_the_last_handle(void **state)
{
    with_each_word(name_without_handle);
}

static void names_follow_the_rules(void **state)
{
    static const struct {
        const char *name;
        DWORD error;
    } cases[] = {
        {"Local\\x", 0},
        {"Global\\x", 0},
        {"plain", 0},
        {"..", 0},
        {"../../etc/passwd", 0},
        {"/", 0},
        {"with spaces and \"quotes\" *?<>|", 0},
        {"CON", 0},
        {"a\\b", ERROR_PATH_NOT_FOUND}, /* unverified */
        {"Local\\a\\b", ERROR_PATH_NOT_FOUND},
        {"Elsewhere\\x", ERROR_PATH_NOT_FOUND},
    };
    case_count = 0;
    for (size_t i = 0; i < COUNT(cases); i++) {
        fresh_error();
        HANDLE section = paging(PAGE_READWRITE, 4096, cases[i].name);
        check_case(section != NULL, cases[i].error, "CreateFileMapping(%s)", cases[i].name);
        if (!section)
            continue;
        HANDLE again = OpenFileMappingA(MAP_READ, FALSE, cases[i].name);
        assert_non_null(again);
        assert_int_equal(objects_on_disk(), 1);
        assert_true(CloseHandle(again) && CloseHandle(section));
        assert_fails(OpenFileMappingA(MAP_READ, FALSE, cases[i].name), ERROR_FILE_NOT_FOUND);
    }
    assert_fails(OpenFileMappingA(MAP_READ, FALSE, NULL), ERROR_INVALID_PARAMETER);
    /* No name and the empty one are none: nothing is found under them. */
    HANDLE nameless = paging(PAGE_READWRITE, 4096, "");
    assert_non_null(nameless);
    assert_int_equal(objects_on_disk(), 0);
    assert_true(CloseHandle(nameless));
}

static void names_tell_case_and_directory_apart(void **state)
{
    static const char *const names[] = {"same", "Same", "Global\\same", "Global\\Same"};
    HANDLE sections[COUNT(names)];
    for (size_t i = 0; i < COUNT(names); i++) {
        sections[i] = paging(PAGE_READWRITE, 4096, names[i]);
        assert_int_equal(ke_last_error(), 0);
    }
    HANDLE local = paging(PAGE_READWRITE, 4096, "Local\\same");
    assert_int_equal(ke_last_error(), ERROR_ALREADY_EXISTS);
    assert_true(CloseHandle(local));
    for (size_t i = 0; i < COUNT(names); i++)
        assert_true(CloseHandle(sections[i]));
}

static void long_names_are_names_up_to_32_ki(void **state)
{
    static WCHAR name[40000];
    const size_t lengths[] = {300, 5000, 20000, 32700, 32767, 33000, 39000};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        for (size_t k = 0; k < lengths[i]; k++)
            name[k] = (WCHAR)(0xD800 + k % 0x800); /* no valid UTF-16, which no name has to be */
        name[lengths[i]] = 0;
        fresh_error();
        HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL,
                                            PAGE_READWRITE | SEC_RESERVE, 0, UNIT, name);
        if (!section) {
            assert_true(lengths[i] > 32700);
            assert_int_equal(ke_last_error(), ERROR_INVALID_NAME);
            continue;
        }
        assert_true(lengths[i] <= 32767);
        HANDLE again = OpenFileMappingW(MAP_ALL, FALSE, name);
        uint8_t *view = MapViewOfFile(again, MAP_WRITE, 0, 0, 0);
        assert_ptr_equal(VirtualAlloc(view, 1, MEM_COMMIT, PAGE_READWRITE), view);
        view[0] = 1;
        assert_true(UnmapViewOfFile(view) && CloseHandle(again) && CloseHandle(section));
    }
}

static void one_namespace_for_all_types(void **state)
{
    struct peer peer = start((int)sizeof(void *) * 8);
    uint32_t error, theirs = peer_ask(&peer, "event taken");
    assert_fails(paging(PAGE_READWRITE, 4096, "taken"), ERROR_INVALID_HANDLE);
    assert_fails(OpenFileMappingA(MAP_ALL, FALSE, "taken"), ERROR_INVALID_HANDLE);
    peer_ask(&peer, "close %u", theirs);
    HANDLE section = paging(PAGE_READWRITE, 4096, "taken");
    assert_non_null(section);
    assert_int_equal(peer_ask2(&peer, &error, "event taken"), 0);
    assert_int_equal(error, ERROR_INVALID_HANDLE);
    assert_fails(OpenEventA(0x1F0003, FALSE, "taken"), ERROR_INVALID_HANDLE);
    assert_true(CloseHandle(section));
    peer_exit(&peer, 0);
}

/* ---- files by name ------------------------------------------------------------------------------
 */

static void open_deleted_file(int word)
{
    struct peer peer = start(word);
    make_file("gone", 70000);
    uint32_t file =
        peer_ask(&peer, "file %u %s", GENERIC_READ | GENERIC_WRITE, tempdir_path("gone"));
    uint32_t theirs = peer_ask(&peer, "create %u %d 0 of a file", file, PAGE_READWRITE);
    peer_ask(&peer, "close %u", file);
    assert_int_equal(unlink(tempdir_path("gone")), 0);
    make_file("gone", 10); /* another file of that name */
    HANDLE section = OpenFileMappingA(MAP_ALL, FALSE, "of a file");
    assert_non_null(section);
    uint8_t *view = MapViewOfFile(section, MAP_WRITE, 0, 0, 0);
    assert_int_equal(query_at(view).RegionSize, 0x12000);
    assert_int_equal(view[69999], 69999 % 251);
    view[69999] = 1;
    peer_ask(&peer, "map %u %d %d", theirs, MAP_READ, UNIT);
    assert_int_equal(peer_ask(&peer, "peek %d", 69999 - UNIT), 1);
    /* This process holds the file now as well: a third one gets it from here. */
    peer_kill(&peer);
    struct peer third = start(word);
    theirs = peer_ask(&third, "open %d of a file", MAP_ALL);
    assert_int_not_equal(theirs, 0);
    assert_int_equal(peer_ask(&third, "map %u %d %d", theirs, MAP_READ, UNIT), 1);
    assert_int_equal(peer_ask(&third, "peek %d", 69999 - UNIT), 1);
    assert_true(UnmapViewOfFile(view) && CloseHandle(section));
    assert_int_equal(peer_exit(&third, 0), 0);
}

static void a_deleted_file_is_found_by_the_name_of_its_section(void **state)
{
    with_each_word(open_deleted_file);
}

/* ---- reserved sections --------------------------------------------------------------------------
 */

static void commit_elsewhere(int word)
{
    ke_fault_install();
    struct peer peer = start(word);
    HANDLE section = paging(PAGE_READWRITE | SEC_RESERVE, 16 * UNIT, "reserved");
    uint8_t *view = MapViewOfFile(section, MAP_WRITE, 0, 0, 0);
    uint32_t theirs = peer_ask(&peer, "open %d reserved", MAP_ALL);
    assert_int_equal(peer_ask(&peer, "map %u %d 0", theirs, MAP_WRITE), 1);
    assert_int_equal(peer_ask(&peer, "commit %d %d", 5 * UNIT, 1), 1);
    peer_ask(&peer, "poke %d 99", 5 * UNIT);
    assert_int_equal(view[5 * UNIT], 99); /* no call was needed here */
    assert_int_equal(query_at(view).State, MEM_RESERVE);
    assert_int_equal(query_at(view + 5 * UNIT).State, MEM_COMMIT);
    assert_int_equal(query_at(view + 5 * UNIT).RegionSize, PAGE_BYTES);
    assert_non_null(VirtualAlloc(view, PAGE_BYTES, MEM_COMMIT, PAGE_READWRITE));
    view[9] = 55;
    assert_int_equal(peer_ask(&peer, "peek 9"), 55);
    assert_true(UnmapViewOfFile(view) && CloseHandle(section));
    assert_int_equal(peer_exit(&peer, 0), 0);
}

static void a_page_that_one_commits_is_there_for_the_other(void **state)
{
    with_each_word(commit_elsewhere);
}

/* ---- handles and views given to others ----------------------------------------------------------
 */

static HANDLE process_handle(const struct peer *peer, struct ob_object **process)
{
    assert_true(nt_ok(ob_process_open((uint32_t)peer->pid, process, NULL)));
    return win32_handle(ob_handle_create(*process, 0x1FFFFF, 0));
}

static uint32_t give(struct ob_object *process, HANDLE handle, uint32_t access)
{
    struct ob_object *self = ob_process_current();
    uint32_t theirs = 0;
    assert_true(
        nt_ok(ob_duplicate(self, win32_ob_handle(handle), process, &theirs, access, 0, 0, NULL)));
    ob_object_unref(self);
    return theirs;
}

static void duplicate_into(int word)
{
    struct ob_object *process;
    uint32_t error;
    struct peer peer = start(word);
    HANDLE handle = process_handle(&peer, &process);
    make_file("given", 5000);
    HANDLE file = file_of("given", GENERIC_READ | GENERIC_WRITE);
    HANDLE sections[] = {CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL),
                         paging(PAGE_READWRITE, 5000, NULL)};
    for (size_t i = 0; i < COUNT(sections); i++) {
        uint8_t *view = MapViewOfFile(sections[i], MAP_WRITE, 0, 0, 0);
        view[3] = 33;
        uint32_t theirs = give(process, sections[i], MAP_READ);
        assert_int_equal(peer_ask2(&peer, &error, "map %u %d 0", theirs, MAP_WRITE), 0);
        assert_int_equal(error, ERROR_ACCESS_DENIED);
        theirs = give(process, sections[i], MAP_READ | MAP_WRITE);
        assert_int_equal(peer_ask(&peer, "map %u %d 0", theirs, MAP_WRITE), 1);
        assert_int_equal(peer_ask(&peer, "peek 3"), 33);
        assert_true(UnmapViewOfFile(view) && CloseHandle(sections[i]));
        peer_ask(&peer, "poke 3 44"); /* the section lives with its view there */
        assert_int_equal(peer_ask(&peer, "peek 3"), 44);
    }
    assert_true(CloseHandle(file) && CloseHandle(handle));
    ob_object_unref(process);
    assert_int_equal(peer_exit(&peer, 0), 0);
}

static void handles_are_given_to_other_processes(void **state)
{
    with_each_word(duplicate_into);
}

static void map_into(int word)
{
    struct ob_object *process;
    struct peer peer = start(word);
    HANDLE handle = process_handle(&peer, &process);
    HANDLE section = paging(PAGE_READWRITE, 2 * UNIT, NULL);
    uint8_t *view = MapViewOfFile(section, MAP_WRITE, 0, 0, 0);
    void *base = NULL;
    SIZE_T size = 0;
    int64_t offset = UNIT;
    /* Below 2 GiB, so that the address fits whatever asks. */
    nt_status status =
        NtMapViewOfSection(section, handle, &base, 1, 0, &offset, &size, 2, 0, PAGE_READWRITE);
    if (!nt_ok(status))
        fail_msg("%s", nt_status_name(status));
    assert_int_equal(size, UNIT);
    view[UNIT + 1] = 77;
    peer_ask(&peer, "use 0 %u", (uint32_t)(uintptr_t)base);
    assert_int_equal(peer_ask(&peer, "peek 1"), 77);
    peer_ask(&peer, "poke 2 78");
    assert_int_equal(view[UNIT + 2], 78);
    status = NtMapViewOfSection(section, handle, &base, 0, 0, NULL, &size, 2, 0, PAGE_READWRITE);
    assert_true(status == (nt_status)STATUS_CONFLICTING_ADDRESSES);
    assert_true(nt_ok(NtUnmapViewOfSection(handle, base)));
    assert_true(NtUnmapViewOfSection(handle, base) == (nt_status)STATUS_NOT_MAPPED_VIEW);
    peer_kill(&peer);
    base = NULL;
    assert_false(
        nt_ok(NtMapViewOfSection(section, handle, &base, 0, 0, NULL, &size, 2, 0, PAGE_READWRITE)));
    assert_true(UnmapViewOfFile(view) && CloseHandle(section) && CloseHandle(handle));
    ob_object_unref(process);
}

static void views_are_mapped_in_other_processes(void **state)
{
    with_each_word(map_into);
}

static void a_process_needs_a_handle_that_lets_memory_be_changed(void **state)
{
    static const struct {
        DWORD access;
        nt_status expected;
    } cases[] = {
        {0x8, STATUS_SUCCESS}, /* PROCESS_VM_OPERATION */
        {0x1FFFFF, STATUS_SUCCESS},
        {0x400, STATUS_ACCESS_DENIED}, /* PROCESS_QUERY_INFORMATION */
    };
    HANDLE section = paging(PAGE_READWRITE, 4096, NULL);
    for (size_t i = 0; i < COUNT(cases); i++) {
        HANDLE process = OpenProcess(cases[i].access, FALSE, (DWORD)getpid());
        void *base = NULL;
        SIZE_T size = 0;
        assert_non_null(process);
        nt_status status =
            NtMapViewOfSection(section, process, &base, 0, 0, NULL, &size, 2, 0, PAGE_READWRITE);
        assert_true(status == cases[i].expected);
        if (nt_ok(status)) {
            assert_int_equal(query_at(base).Type, MEM_MAPPED);
            assert_true(nt_ok(NtUnmapViewOfSection(process, base)));
        }
        assert_true(CloseHandle(process));
    }
    void *base = NULL;
    SIZE_T size = 0;
    assert_true(NtMapViewOfSection(section, section, &base, 0, 0, NULL, &size, 2, 0,
                                   PAGE_READWRITE) == (nt_status)STATUS_OBJECT_TYPE_MISMATCH);
    assert_true(CloseHandle(section));
}

/* ---- what must not be trusted -------------------------------------------------------------------
 */

static void damage(size_t at, uint8_t with)
{
    DIR *dir = opendir(tempdir_path("peldr"));
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strncmp(entry->d_name, "n-", 2) != 0)
            continue;
        FILE *file = fdopen(openat(dirfd(dir), entry->d_name, O_RDWR), "r+b");
        fseek(file, (long)at, SEEK_SET);
        for (int i = 0; i < 4; i++)
            fputc(with, file);
        fclose(file);
    }
    closedir(dir);
}

/* The words of what both headers hold, and some of the rest, in turn; overwritten while somebody
 * else holds the object: opening it works or is an error, and neither of the two processes is
 * harmed. */
static void a_damaged_record_harms_nobody(void **state)
{
    int opened = 0, refused = 0;
    for (size_t at = 0; at < 4096; at += at % 1024 < 128 ? 4 : 128) {
        struct peer peer = start((int)sizeof(void *) * 8);
        make_file("damaged", 5000);
        uint32_t file = peer_ask(&peer, "file %u %s", GENERIC_READ, tempdir_path("damaged"));
        assert_int_not_equal(peer_ask(&peer, "create %u %d 0 damaged", file, PAGE_READONLY), 0);
        damage(at, at % 8 ? 0xFF : 0x01);
        HANDLE section = OpenFileMappingA(MAP_READ, FALSE, "damaged");
        void *view = section ? MapViewOfFile(section, MAP_READ, 0, 0, 0) : NULL;
        opened += view != NULL;
        refused += !section;
        if (view)
            assert_true(UnmapViewOfFile(view));
        if (section)
            assert_true(CloseHandle(section));
        assert_int_equal(peer_exit(&peer, 0), 0);
    }
    assert_true(opened > 0 && refused > 0);
    print_message("damaged records: %d opened, %d refused\n", opened, refused);
}

static void a_foreign_runtime_directory_is_not_used(void **state)
{
    char mine[PATH_MAX];
    snprintf(mine, sizeof mine, "%s", tempdir_path("foreign"));
    tempdir_mkdir("foreign");
    assert_int_equal(symlink("/tmp", tempdir_path("foreign/peldr")), 0);
    setenv("XDG_RUNTIME_DIR", mine, 1);
    struct peer peer = start((int)sizeof(void *) * 8);
    uint32_t error;
    assert_int_equal(peer_ask2(&peer, &error, "create 0 %d 4096 named", PAGE_READWRITE), 0);
    assert_int_equal(error, ERROR_ACCESS_DENIED);
    assert_int_equal(peer_ask2(&peer, &error, "open %d named", MAP_ALL), 0);
    assert_int_equal(error, ERROR_ACCESS_DENIED);
    uint32_t nameless = peer_ask(&peer, "create 0 %d 4096 -", PAGE_READWRITE);
    assert_int_equal(peer_ask(&peer, "map %u %d 0", nameless, MAP_WRITE), 1);
    assert_int_equal(peer_exit(&peer, 0), 0);
    setenv("XDG_RUNTIME_DIR", tempdir, 1);
}

/* ---- all at once --------------------------------------------------------------------------------
 */

enum { THREADS = 4, ROUNDS = 300 };

/* Sections of these names come and go under everybody's hands, one of a deleted file among them. */
static void *hammer(void *file)
{
    static const char *const names[] = {"one", "two", "of the file"};
    static const DWORD expected[] = {0, ERROR_ALREADY_EXISTS, ERROR_FILE_NOT_FOUND};
    ke_thread_attach(NULL);
    for (int i = 0; i < ROUNDS; i++) {
        const char *name = names[i % COUNT(names)];
        HANDLE of = i % 3 == 2 ? file : INVALID_HANDLE_VALUE;
        fresh_error();
        HANDLE section = i % 2 ? OpenFileMappingA(MAP_ALL, FALSE, name)
                               : CreateFileMappingA(of, NULL, PAGE_READWRITE, 0, 4096, name);
        DWORD error = ke_last_error();
        if (!section && (error != expected[2] || i % 2 == 0))
            return "neither opened nor missing";
        uint8_t *view = section ? MapViewOfFile(section, MAP_WRITE, 0, 0, 0) : NULL;
        if (section && !view)
            return "no view";
        if (view)
            __atomic_fetch_add((uint32_t *)(void *)view, 1, __ATOMIC_RELAXED);
        if (section && (!CloseHandle(section) || !UnmapViewOfFile(view)))
            return "not closed";
    }
    return NULL;
}

static void hammer_together(HANDLE file)
{
    pthread_t threads[THREADS];
    void *failed;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, file), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &failed);
        if (failed)
            fail_msg("%s", (char *)failed);
    }
}

static void sections_come_and_go_everywhere(void **state)
{
    make_file("hammered", 5000);
    HANDLE file = file_of("hammered", GENERIC_READ | GENERIC_WRITE);
    assert_int_equal(unlink(tempdir_path("hammered")), 0);
    uint32_t before = count_descriptors();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 4 * ROUNDS; i++) {
            HANDLE section = OpenFileMappingA(MAP_ALL, FALSE, i % 2 ? "of the file" : "one");
            if (section)
                CloseHandle(section);
            else if (ke_last_error() != ERROR_FILE_NOT_FOUND)
                _exit(2);
        }
        _exit(0);
    }
    hammer_together(file);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(count_descriptors(), before);
    assert_int_equal(objects_on_disk(), 0);
    assert_true(CloseHandle(file));
}

/* ---- descriptors --------------------------------------------------------------------------------
 */

static void nothing_is_left_behind(void **state)
{
    make_file("many", 5000);
    uint32_t before = 0;
    for (int round = 0; round < 200; round++) {
        HANDLE file = file_of("many", GENERIC_READ | GENERIC_WRITE);
        HANDLE sections[] = {
            CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, round % 2 ? "many" : NULL),
            paging(PAGE_READWRITE, 4096, NULL), paging(PAGE_READWRITE | SEC_RESERVE, 4096, "more"),
            OpenFileMappingA(MAP_READ, FALSE, "more")};
        for (size_t i = 0; i < COUNT(sections); i++) {
            void *view = MapViewOfFile(sections[i], MAP_READ, 0, 0, 0);
            assert_non_null(view);
            assert_true(CloseHandle(sections[i]) && UnmapViewOfFile(view));
        }
        assert_true(CloseHandle(file));
        if (round == 20)
            before = count_descriptors();
    }
    assert_int_equal(count_descriptors(), before);
    assert_int_equal(objects_on_disk(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_sections_are_shared),
        cmocka_unit_test(a_name_goes_with_the_last_handle),
        cmocka_unit_test(names_follow_the_rules),
        cmocka_unit_test(names_tell_case_and_directory_apart),
        cmocka_unit_test(long_names_are_names_up_to_32_ki),
        cmocka_unit_test(one_namespace_for_all_types),
        cmocka_unit_test(a_deleted_file_is_found_by_the_name_of_its_section),
        cmocka_unit_test(a_page_that_one_commits_is_there_for_the_other),
        cmocka_unit_test(handles_are_given_to_other_processes),
        cmocka_unit_test(views_are_mapped_in_other_processes),
        cmocka_unit_test(a_process_needs_a_handle_that_lets_memory_be_changed),
        cmocka_unit_test(a_damaged_record_harms_nobody),
        cmocka_unit_test(a_foreign_runtime_directory_is_not_used),
        cmocka_unit_test(sections_come_and_go_everywhere),
        cmocka_unit_test(nothing_is_left_behind),
    };
    return cmocka_run_group_tests(tests, mapping_setup, mapping_teardown);
}
