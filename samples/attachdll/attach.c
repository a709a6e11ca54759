/*
 * attach: a program with attachdll.dll. See there.
 *
 * It starts itself a second time. Look at: neither process creates or opens anything; the memory is
 * there when main() begins, and the second process finds in it what the first has written.
 */
#include "console.h"

#include "attachdll/attachdll.h"

static void show(const char *who, const struct attach_shared *shared)
{
    say("%s: \"%s\", %ld attached", who, shared->text, (long)shared->attached);
}

int main(int argc, char **argv)
{
    BOOL is_second = has_role(argc, argv, "second"), created;
    const char *who = is_second ? "second" : "first ";
    struct attach_shared *shared = attach_view(&created);
    PROCESS_INFORMATION second;
    say("%s: the DLL has %s the section object", who, created ? "created" : "opened");
    show(who, shared);
    snprintf(shared->text, sizeof shared->text, "text of the %s process",
             is_second ? "second" : "first");
    if (is_second)
        return 0;
    start_again("second", &second);
    check(wait_for_end(&second) == 0, "the second process");
    show(who, shared);
    return 0;
}
