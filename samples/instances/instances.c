/*
 * instances: counts how often it runs at the moment. Start it in several consoles; the return key
 * asks again, the end of the input ends an instance.
 *
 * A PE section with the SHARED characteristic exists once for all processes that run this image,
 * not once for each. The counter in it belongs to all instances; the variable beside it, in
 * ordinary .data, to this one.
 *
 * Look at: the initial value. Variables without one go to .bss, which is never shared. And mind
 * that an instance that is killed never takes itself off the counter: it starts at its initial
 * value again when the last instance has gone, not before.
 */
#include "console.h"

static volatile LONG running __attribute__((section(".shared"), shared)) = 0;
static volatile LONG own = 0;

int main(void)
{
    int c;
    InterlockedIncrement(&running);
    InterlockedIncrement(&own);
    say("started: %ld running, own counter %ld", (long)running, (long)own);
    while ((c = getchar()) != EOF)
        if (c == '\n')
            say("now: %ld running, own counter %ld", (long)running, (long)own);
    InterlockedDecrement(&running);
    say("ending: %ld left", (long)running);
    return 0;
}
