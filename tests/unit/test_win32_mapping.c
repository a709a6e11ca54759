/*
 * CreateFileMapping and MapViewOfFile over all combinations of protection, attributes, file rights
 * and access, with the result that the facts sheet gives for each (facts 4.1, 4.2). The expected
 * columns are the sheet's; rows that it calls unverified are marked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/mapping_test.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* ---- creation: protection x attributes x what backs it ------------------------------------------
 */

static const struct {
    DWORD protect;
    const char *needs; /* of the file handle; NULL = 87 whatever it has */
} creatable[] = {
    {PAGE_READONLY, "r"},
    {PAGE_READWRITE, "rw"},
    {PAGE_WRITECOPY, "r"},
    {PAGE_EXECUTE_READ, "rx"},
    {PAGE_EXECUTE_READWRITE, "rwx"},
    {PAGE_EXECUTE_WRITECOPY, "rx"},
    {0, NULL},
    {PAGE_NOACCESS, NULL},
    {PAGE_EXECUTE, NULL},
    {PAGE_READONLY | PAGE_READWRITE, NULL},
    {PAGE_READONLY | PAGE_EXECUTE_READ, NULL},
    {PAGE_READWRITE | PAGE_WRITECOPY, NULL},
    {PAGE_READWRITE | PAGE_GUARD, NULL},
    {PAGE_READWRITE | PAGE_NOCACHE, NULL},
    {PAGE_READONLY | PAGE_WRITECOMBINE, NULL},
    {0x800 | PAGE_READONLY, NULL},
};

/* What a section of the paging file and of a data file that is no image gives. */
static const struct {
    DWORD attributes, paging, file;
} attributed[] = {
    {0, 0, 0},
    {SEC_COMMIT, 0, 0},
    {SEC_RESERVE, 0, 0},
    {SEC_COMMIT | SEC_NOCACHE, 0, 0},
    {SEC_RESERVE | SEC_NOCACHE, 0, 0},
    {SEC_COMMIT | SEC_WRITECOMBINE, 0, 0},
    {SEC_RESERVE | SEC_WRITECOMBINE, 0, 0},
    {SEC_COMMIT | SEC_LARGE_PAGES, 1314, 87}, /* the file: unverified */
    {SEC_RESERVE | SEC_COMMIT, 87, 87},
    {SEC_RESERVE | SEC_LARGE_PAGES, 87, 87},
    {SEC_NOCACHE, 87, 87},
    {SEC_WRITECOMBINE, 87, 87},
    {SEC_LARGE_PAGES, 87, 87},
    {SEC_FILE, 87, 87},
    {SEC_FILE | SEC_COMMIT, 87, 87},
    {SEC_IMAGE, 193, 193},
    {SEC_IMAGE_NO_EXECUTE, 193, 193},
    {SEC_IMAGE | SEC_RESERVE, 87, 87},
    {SEC_IMAGE | SEC_COMMIT, 87, 87},
    {SEC_IMAGE | SEC_LARGE_PAGES, 87, 87},
    {SEC_IMAGE | SEC_WRITECOMBINE, 87, 87},
};

static bool has_all(const char *needs, const char *rights)
{
    for (; *needs; needs++)
        if (!strchr(rights, *needs))
            return false;
    return true;
}

/* Where several things are wrong, the order of the checks decides, which the sheet does not tell:
 * the arguments by themselves come first. */
static DWORD expect_creation(size_t p, size_t a, const char *rights)
{
    DWORD of_attributes = rights ? attributed[a].file : attributed[a].paging;
    if (!creatable[p].needs || of_attributes == 87)
        return 87;
    if (rights && !has_all(creatable[p].needs, rights))
        return 5;
    return of_attributes;
}

static void create_all(HANDLE file, const char *rights)
{
    for (size_t p = 0; p < COUNT(creatable); p++) {
        for (size_t a = 0; a < COUNT(attributed); a++) {
            DWORD flags = creatable[p].protect | attributed[a].attributes;
            fresh_error();
            HANDLE section = CreateFileMappingA(file, NULL, flags, 0, 0x2000, NULL);
            check_case(section != NULL, expect_creation(p, a, rights),
                       "CreateFileMapping(%s file, 0x%x)", rights ? rights : "paging", flags);
            if (section) {
                assert_int_equal(ke_last_error(), 0);
                assert_true(CloseHandle(section));
            }
        }
    }
}

static void every_way_to_create(void **state)
{
    static const struct {
        DWORD access;
        const char *rights;
    } files[] = {
        {GENERIC_READ, "r"},
        {GENERIC_WRITE, "w"},
        {GENERIC_EXECUTE, "x"},
        {GENERIC_READ | GENERIC_WRITE, "rw"},
        {GENERIC_READ | GENERIC_EXECUTE, "rx"},
        {GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE, "rwx"},
        {GENERIC_ALL, "rwx"},
        {FILE_READ_ATTRIBUTES, ""},
    };
    case_count = 0;
    make_file("create", 0x2000);
    create_all(INVALID_HANDLE_VALUE, NULL);
    for (size_t i = 0; i < COUNT(files); i++) {
        HANDLE file = file_of("create", files[i].access);
        create_all(file, files[i].rights);
        assert_true(CloseHandle(file));
    }
    print_message("%d ways to create a section\n", case_count);
}

/* ---- views: section protection x access (the table of facts 4.2) --------------------------------
 */

enum { READ, COPY, WRITE, X_READ, X_COPY, X_WRITE, KINDS };

static const struct {
    DWORD protect, errors[KINDS];
} sections[] = {
    {PAGE_READONLY, {0, 0, 5, 5, 5, 5}},          {PAGE_WRITECOPY, {0, 0, 5, 5, 5, 5}},
    {PAGE_READWRITE, {0, 0, 0, 5, 5, 5}},         {PAGE_EXECUTE_READ, {0, 0, 5, 0, 0, 5}},
    {PAGE_EXECUTE_WRITECOPY, {0, 0, 5, 0, 0, 5}}, {PAGE_EXECUTE_READWRITE, {0, 0, 0, 0, 0, 0}},
};

static const struct {
    DWORD access;
    int kind;
    DWORD protect;
} accesses[] = {
    {MAP_READ, READ, PAGE_READONLY},
    {MAP_COPY, COPY, PAGE_WRITECOPY},
    {MAP_WRITE, WRITE, PAGE_READWRITE},
    {MAP_READ | MAP_WRITE, WRITE, PAGE_READWRITE},
    {MAP_ALL, WRITE, PAGE_READWRITE},
    {MAP_READ | MAP_COPY, READ, PAGE_READONLY}, /* unverified */
    {MAP_WRITE | MAP_COPY, WRITE, PAGE_READWRITE},
    {0, READ, PAGE_NOACCESS},
    {MAP_EXECUTE | MAP_READ, X_READ, PAGE_EXECUTE_READ},
    {MAP_EXECUTE | MAP_COPY, X_COPY, PAGE_EXECUTE_WRITECOPY},
    {MAP_EXECUTE | MAP_WRITE, X_WRITE, PAGE_EXECUTE_READWRITE},
    {MAP_EXECUTE | MAP_READ | MAP_WRITE, X_WRITE, PAGE_EXECUTE_READWRITE},
    {MAP_EXECUTE | MAP_ALL, X_WRITE, PAGE_EXECUTE_READWRITE},
};

static void check_content(const uint8_t *view, DWORD protect, bool of_file)
{
    if (protect != PAGE_NOACCESS)
        assert_int_equal(view[1], of_file ? 1 : 0);
}

/* A written page of a copy is a private one, of any other view the section's. */
static void check_write(HANDLE section, uint8_t *view, DWORD protect)
{
    bool copies = protect == PAGE_WRITECOPY || protect == PAGE_EXECUTE_WRITECOPY;
    bool writes = protect == PAGE_READWRITE || protect == PAGE_EXECUTE_READWRITE;
    if (!copies && !writes)
        return;
    const uint8_t *other = MapViewOfFile(section, MAP_READ, 0, 0, 0);
    uint8_t before = other[9];
    view[9] = (uint8_t)(before + 1);
    assert_int_equal(other[9], writes ? before + 1 : before);
    view[9] = before;
    DWORD now = protect == PAGE_WRITECOPY           ? PAGE_READWRITE
                : protect == PAGE_EXECUTE_WRITECOPY ? PAGE_EXECUTE_READWRITE
                                                    : protect;
    assert_int_equal(query_at(view).Protect, now);
    assert_true(UnmapViewOfFile(other));
}

static void check_view(HANDLE section, uint8_t *view, DWORD protect, bool of_file)
{
    struct win32_memory_information info = query_at(view);
    assert_int_equal((uintptr_t)view % UNIT, 0);
    assert_ptr_equal(info.AllocationBase, view);
    assert_int_equal(info.AllocationProtect, protect);
    assert_int_equal(info.Protect, protect);
    assert_int_equal(info.State, MEM_COMMIT);
    assert_int_equal(info.Type, MEM_MAPPED);
    assert_int_equal(info.RegionSize, 0x3000);
    check_content(view, protect, of_file);
    check_write(section, view, protect);
}

static void map_all(HANDLE file, size_t s)
{
    fresh_error();
    HANDLE section = CreateFileMappingA(file, NULL, sections[s].protect, 0, 0x2345, NULL);
    assert_non_null(section);
    for (size_t a = 0; a < COUNT(accesses); a++) {
        fresh_error();
        uint8_t *view = MapViewOfFile(section, accesses[a].access, 0, 0, 0);
        check_case(view != NULL, sections[s].errors[accesses[a].kind],
                   "MapViewOfFile(access 0x%x) of a 0x%x section", accesses[a].access,
                   sections[s].protect);
        if (view) {
            check_view(section, view, accesses[a].protect, file != INVALID_HANDLE_VALUE);
            assert_true(UnmapViewOfFile(view));
        }
    }
    assert_true(CloseHandle(section));
}

static void every_access_to_every_section(void **state)
{
    case_count = 0;
    make_file("map", 0x2345);
    HANDLE file = file_of("map", GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE);
    for (size_t s = 0; s < COUNT(sections); s++) {
        map_all(file, s);
        map_all(INVALID_HANDLE_VALUE, s);
    }
    assert_true(CloseHandle(file));
    print_message("%d accesses to sections\n", case_count);
}

/* ---- views: handle access x section protection x access -----------------------------------------
 */

/* Which of a handle's rights each kind of view needs (facts 4.2: a WRITE handle does not read). */
static const char *const kind_needs[KINDS] = {"r", "r", "w", "rx", "rx", "wx"};
static const DWORD kind_access[KINDS] = {
    MAP_READ,
    MAP_COPY,
    MAP_WRITE,
    MAP_EXECUTE | MAP_READ,
    MAP_EXECUTE | MAP_COPY,
    MAP_EXECUTE | MAP_WRITE,
};

static const struct {
    DWORD access;
    const char *rights;
} handles[] = {
    {MAP_READ, "r"},
    {MAP_WRITE, "w"},
    {MAP_COPY, "r"}, /* OpenFileMapping takes it for READ */
    {MAP_READ | MAP_WRITE, "rw"},
    {MAP_READ | MAP_EXECUTE, "rx"},
    {MAP_WRITE | MAP_EXECUTE, "wx"},
    {MAP_ALL, "rwx"}, /* SECTION_ALL_ACCESS has SECTION_MAP_EXECUTE */
    {0, ""},
};

static void map_through(HANDLE handle, size_t h, size_t s)
{
    for (int kind = 0; kind < KINDS; kind++) {
        /* The handle is looked at first; what the section itself refuses is 87 (facts 5). */
        DWORD expected = !has_all(kind_needs[kind], handles[h].rights) ? 5
                         : sections[s].errors[kind]                    ? 87
                                                                       : 0;
        fresh_error();
        void *view = MapViewOfFile(handle, kind_access[kind], 0, 0, 0);
        check_case(view != NULL, expected,
                   "MapViewOfFile(access 0x%x) by a handle of access 0x%x to a 0x%x section",
                   kind_access[kind], handles[h].access, sections[s].protect);
        if (view)
            assert_true(UnmapViewOfFile(view));
    }
}

static void every_access_through_every_handle(void **state)
{
    case_count = 0;
    for (size_t s = 0; s < COUNT(sections); s++) {
        HANDLE section = paging(sections[s].protect, 0x1000, "handles");
        assert_non_null(section);
        for (size_t h = 0; h < COUNT(handles); h++) {
            HANDLE opened = OpenFileMappingA(handles[h].access, FALSE, "handles"), copy;
            assert_non_null(opened);
            map_through(opened, h, s);
            assert_true(CloseHandle(opened));
            if (handles[h].access == MAP_COPY)
                continue; /* as a duplicate it is SECTION_QUERY and allows nothing */
            assert_true(DuplicateHandle(CURRENT_PROCESS, section, CURRENT_PROCESS, &copy,
                                        handles[h].access, FALSE, 0));
            map_through(copy, h, s);
            assert_true(CloseHandle(copy));
        }
        assert_true(CloseHandle(section));
    }
    print_message("%d accesses through handles\n", case_count);
}

/* ---- protections of views change within what the view was given (facts 4.4) ---------------------
 */

/* The rights of a view as letters; k = an executable copy, which PAGE_WRITECOPY does without. */
static const struct {
    DWORD access;
    const char *may;
} changeable[] = {
    {MAP_READ, "r"},
    {MAP_COPY, "r"},
    {MAP_WRITE, "rw"},
    {MAP_EXECUTE | MAP_READ, "rx"},
    {MAP_EXECUTE | MAP_COPY, "rxk"},
    {MAP_EXECUTE | MAP_WRITE, "rwxk"},
};
static const struct {
    DWORD protect;
    const char *needs; /* NULL = never */
} changes[] = {
    {PAGE_NOACCESS, ""},
    {PAGE_READONLY, "r"},
    {PAGE_WRITECOPY, "r"},
    {PAGE_READWRITE, "w"},
    {PAGE_EXECUTE, "x"},
    {PAGE_EXECUTE_READ, "x"},
    {PAGE_EXECUTE_WRITECOPY, "xk"},
    {PAGE_EXECUTE_READWRITE, "wx"},
    {0, NULL},
    {PAGE_READONLY | PAGE_READWRITE, NULL},
};

static void protections_stay_within_the_view(void **state)
{
    case_count = 0;
    make_file("protect", 0x1000);
    HANDLE file = file_of("protect", GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_EXECUTE_READWRITE, 0, 0, NULL);
    for (size_t v = 0; v < COUNT(changeable); v++) {
        for (size_t c = 0; c < COUNT(changes); c++) {
            void *view = MapViewOfFile(section, changeable[v].access, 0, 0, 0);
            DWORD old = 0;
            bool may = changes[c].needs && has_all(changes[c].needs, changeable[v].may);
            assert_non_null(view);
            fresh_error();
            BOOL done = VirtualProtect(view, 1, changes[c].protect, &old);
            check_case(done, may ? 0 : 87, "VirtualProtect(0x%x) of a view of access 0x%x",
                       changes[c].protect, changeable[v].access);
            if (done)
                assert_int_equal(query_at(view).Protect, changes[c].protect);
            assert_true(UnmapViewOfFile(view));
        }
    }
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
    print_message("%d changes of protection\n", case_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_create),
        cmocka_unit_test(every_access_to_every_section),
        cmocka_unit_test(every_access_through_every_handle),
        cmocka_unit_test(protections_stay_within_the_view),
    };
    return cmocka_run_group_tests(tests, mapping_setup, mapping_teardown);
}
