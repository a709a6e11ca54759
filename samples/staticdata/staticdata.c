/*
 * staticdata: what a program does to its static data stays its own.
 *
 * All instances map the same image file. A page of .data is shared by them as long as it is only
 * read. The first write gives the writer a copy of the page, made before the write takes effect;
 * the other instances, and those that start later, see what the file holds.
 *
 * The program starts itself a second time while its own variable is changed. Look at: the
 * protection of the page. PAGE_WRITECOPY means shared until written, PAGE_READWRITE a copy of this
 * process.
 */
#include "console.h"

/* Alone in a page, so that nobody else's write copies it. */
static struct {
    volatile LONG value;
    char rest[PAGE - sizeof(LONG)];
} data __attribute__((aligned(4096))) = {.value = 1};

static const char *protection(void)
{
    MEMORY_BASIC_INFORMATION info;
    check(VirtualQuery(&data, &info, sizeof info) == sizeof info, "VirtualQuery");
    switch (info.Protect) {
    case PAGE_WRITECOPY:
        return "PAGE_WRITECOPY";
    case PAGE_READWRITE:
        return "PAGE_READWRITE";
    default:
        return "something else";
    }
}

static void show(const char *who, const char *what)
{
    say("%s: the value %s %ld, its page is %s", who, what, (long)data.value, protection());
}

int main(int argc, char **argv)
{
    BOOL is_second = has_role(argc, argv, "second");
    const char *who = is_second ? "second" : "first ";
    PROCESS_INFORMATION second;
    show(who, "starts as");
    data.value += is_second ? 20 : 10;
    show(who, "is now");
    if (is_second)
        return 0;
    start_again("second", &second);
    check(wait_for_end(&second) == 0, "the second instance");
    show(who, "is still");
    return 0;
}
