#ifndef MERGE_LIB_PRIORITY_H
#define MERGE_LIB_PRIORITY_H
/*
 * Who goes first when there are more threads than processors: the person's
 * programs, those who answer them, and only then what is done for later. Hints
 * to the kernel; where one is refused nothing is lost but speed.
 *
 * Threads of ours share locks with those who answer, so none of them ever gets
 * less than its share of time: a nice value would let a waiting request wait
 * for a thread that does not run. Child processes share nothing and get one.
 */

/* The calling thread answers requests that somebody waits for: it is let in at
 * once, also where another program is computing (Linux 6.12 and later). */
void priority_answer(void);
/* The calling thread works for later: it interrupts nobody, and the children
 * it starts are nice. For good. */
void priority_background(void);
/* For a child between fork and exec: nice, if the thread that forked it works
 * for later; a little only, since a flush may come to wait for it. */
void priority_child(void);

#endif
