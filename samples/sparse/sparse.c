/*
 * sparse: a large table of which only the touched pages exist.
 *
 * SEC_RESERVE makes a section object that takes addresses but no memory. A page comes into being
 * when VirtualAlloc commits it, in all views of all processes at once. What touches another page
 * gets an access violation. A vectored handler may commit the page then and let the instruction try
 * again, so that the rest of the program uses the table as if it were all there.
 *
 * The program starts itself a second time. Look at: the rows of letters, one per page, c =
 * committed, . = reserved. The second process finds the first one's pages committed, and the first
 * one those of the second, without a call that would say so.
 */
#include "console.h"

#define NAME "Local\\peldr-sample-sparse"

enum { PAGES = 16, TABLE_SIZE = PAGES * PAGE };

static const char *who;
static volatile char *table;

/* The state of every page, as VirtualQuery tells it. */
static void show(const char *when)
{
    char row[PAGES + 1] = "";
    for (int page = 0; page < PAGES; page++) {
        MEMORY_BASIC_INFORMATION info;
        check(VirtualQuery((char *)table + page * PAGE, &info, sizeof info) == sizeof info,
              "VirtualQuery");
        row[page] = info.State == MEM_COMMIT ? 'c' : info.State == MEM_RESERVE ? '.' : '?';
    }
    say("%s: %s  %s", who, row, when);
}

static LONG CALLBACK commit_on_demand(EXCEPTION_POINTERS *exception)
{
    const EXCEPTION_RECORD *record = exception->ExceptionRecord;
    char *address;
    if (record->ExceptionCode != EXCEPTION_ACCESS_VIOLATION || record->NumberParameters < 2)
        return EXCEPTION_CONTINUE_SEARCH;
    address = (char *)record->ExceptionInformation[1];
    if (address < table || address >= table + TABLE_SIZE)
        return EXCEPTION_CONTINUE_SEARCH;
    say("%s: access violation, %s page %d", who,
        record->ExceptionInformation[0] ? "writing to" : "reading from",
        (int)((address - table) / PAGE));
    if (!VirtualAlloc(address, 1, MEM_COMMIT, PAGE_READWRITE))
        return EXCEPTION_CONTINUE_SEARCH;
    return EXCEPTION_CONTINUE_EXECUTION;
}

static void use(HANDLE section)
{
    check(section != NULL, "the section object");
    table = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    check(table != NULL, "MapViewOfFile");
    check(AddVectoredExceptionHandler(1, commit_on_demand) != NULL, "AddVectoredExceptionHandler");
}

static void commit(int page)
{
    check(VirtualAlloc((char *)table + page * PAGE, PAGE, MEM_COMMIT, PAGE_READWRITE) != NULL,
          "VirtualAlloc");
}

static int first(void)
{
    PROCESS_INFORMATION second;
    MEMORY_BASIC_INFORMATION info;
    DWORD code;
    use(CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE | SEC_RESERVE, 0, TABLE_SIZE,
                           NAME));
    VirtualQuery((char *)table, &info, sizeof info);
    say("%s: a view of %lu bytes, state 0x%lx, type 0x%lx", who, (unsigned long)info.RegionSize,
        (unsigned long)info.State, (unsigned long)info.Type);
    show("nothing is there yet");
    commit(0);
    commit(5);
    table[0] = 'A';
    table[5 * PAGE] = 'B';
    show("two pages committed");
    table[9 * PAGE] = 'C';
    show("one more on demand");
    start_again("second", &second);
    code = wait_for_end(&second);
    show("after the second process");
    say("%s: page 2 holds %c, page 12 holds %d", who, table[2 * PAGE], table[12 * PAGE]);
    return (int)code;
}

static int second(void)
{
    use(OpenFileMappingA(FILE_MAP_WRITE, FALSE, NAME));
    show("as the first process left it");
    say("%s: pages 0, 5 and 9 hold %c%c%c", who, table[0], table[5 * PAGE], table[9 * PAGE]);
    table[2 * PAGE] = 'D';
    say("%s: page 12 holds %d", who, table[12 * PAGE]);
    show("two more on demand");
    return 0;
}

int main(int argc, char **argv)
{
    BOOL is_second = has_role(argc, argv, "second");
    who = is_second ? "second" : "first ";
    return is_second ? second() : first();
}
