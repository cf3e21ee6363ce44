// The strings of the tours: `tour.ID.title`, `tour.ID.about`, the texts of their steps, and `tour.group.GROUP`.

export default {
  "tour.group.start": "Start here",
  "tour.group.election": "Elections",
  "tour.group.log": "The log",
  "tour.group.safety": "Why it is safe",
  "tour.group.clients": "Clients",
  "tour.group.operation": "Running a cluster",
  "tour.group.break": "Break it",

  "tour.story.title": "The whole story",
  "tour.story.about":
    "From one node to five, from one value to a network that breaks: Raft from the beginning.",
  "tour.story.alone":
    "This is one machine, a [node](glossary:node). It stores one value, `x`. Nothing has been written yet.",
  "tour.story.alone-set":
    "A **client** asks it to set `x` to 8. With one node, agreement is trivial: what the node has stored is the truth.",
  "tour.story.alone-gone":
    "But when this node stops, everything stops. So people store the value on several nodes.",
  "tour.story.several":
    "Now there are three nodes. How do they agree on the value, when messages take time and any node may stop at any moment?\n\nThat question is called [distributed consensus](glossary:consensus). Raft is a protocol that answers it.",
  "tour.story.states":
    "At any moment a node is in one of three states: [follower](glossary:follower), [candidate](glossary:candidate), or [leader](glossary:leader). All nodes start as followers.",
  "tour.story.candidate":
    "Followers wait to hear from a leader. There is none. Node 2 has waited long enough: it becomes a **candidate**.",
  "tour.story.ask": "The candidate asks the other nodes for their votes.",
  "tour.story.voted":
    "A node that gets the request, and has not voted yet, gives its vote. First it writes the vote to its disk; only then it answers.",
  "tour.story.elected":
    "Two votes of three, its own and one more, are a [majority](glossary:majority). Node 2 is the **leader**. This was a **leader election**.",
  "tour.story.through": "The others learn who leads. From now on, every change goes through the leader.",
  "tour.story.set":
    "A client sends \"set 5\". The leader adds it to its [log](glossary:log) as a new [entry](glossary:entry).\n\nThe entry is **uncommitted**: the value of the node has not changed.",
  "tour.story.replicate":
    "The leader sends the entry to its followers, and they add it to their logs. Then the leader waits until a **majority** of the nodes has written it to disk.",
  "tour.story.commit":
    "A majority has it: the entry is [committed](glossary:commit). Now the leader's value is 5, and the client gets its answer.",
  "tour.story.told":
    "The leader tells the followers that the entry is committed, and they commit it, too. The cluster agrees: `x` is 5.\n\nThis is **log replication**. You have now seen Raft as a whole. The rest of the story looks closer.",
  "tour.story.timeouts":
    "**Elections, closely.** Two timeouts govern them. The first is the [election timeout](glossary:election-timeout): how long a follower waits before it becomes a candidate. Each ring that runs down is one.\n\nIt is random, between 150 and 300 ms, so that the nodes rarely wait equally long.",
  "tour.story.runs-out":
    "The timeout of node 1 runs out first. It starts a new [term](glossary:term), number 1, and votes for itself. Terms are Raft's clock: they only rise.",
  "tour.story.resets":
    "Its requests reach the others. A node that has not voted in this term gives its vote, one vote a term, and **resets its election timeout**: its ring is full again.",
  "tour.story.heartbeat":
    "With a majority, the candidate leads. At once it sends append messages: they tell the others who leads.",
  "tour.story.beats":
    "The second timeout is the interval of [heartbeats](glossary:heartbeat), 50 ms here. That often the leader sends a message even if there is nothing new. Each follower answers, and each message resets its election timeout. The rings never stop running down; they are only filled again in time.",
  "tour.story.stops":
    "Now the leader stops. No heartbeats arrive, and the rings of the other two run out. One of them becomes a candidate, in term 2.",
  "tour.story.second":
    "Two of three nodes are a majority. Since every majority shares a node with every other one, and a node votes once a term, **a term has one leader at most**.",
  "tour.story.split":
    "**A split vote.** Four nodes. By chance two of them become candidates at the same moment, in the same term.",
  "tour.story.split-two":
    "Each has its own vote and gets one more. Two votes of four are no majority: **nobody wins this term**.",
  "tour.story.split-again":
    "Both wait again, for **new random timeouts**. This time one is earlier than the others: it wins a later term. Randomness makes it unlikely that a vote is split for long.",
  "tour.story.again":
    "**Replication, closely.** Node 1 leads. In the Raft paper a heartbeat is an append message without entries. floe sends heartbeats as small messages of their own, marked H; changes travel in append messages, marked A.",
  "tour.story.set5": "\"Set 5\" is appended to the leader's log ...",
  "tour.story.sent5": "... sent to the followers with the next append message ...",
  "tour.story.ack5": "... acknowledged, once it is on a follower's disk ...",
  "tour.story.commit5":
    "... committed when a majority has it, and answered to the client. The followers do not know it yet.",
  "tour.story.learn5": "They learn it with the message that follows. Now all values are 5.",
  "tour.story.add2":
    "Next the client sends \"add 2\". It takes the same way, and the value is 7 everywhere. All nodes apply the same entries in the same order; that is why their values are the same.",
  "tour.story.five":
    "**A partition.** Raft stays right even when the network breaks apart. Here are five nodes; node 2 leads in term 1.",
  "tour.story.cut":
    "The network splits: nodes 1 and 2 on one side; 3, 4 and 5 on the other. Nothing gets across.",
  "tour.story.two-leaders":
    "Nodes 3, 4 and 5 hear no leader any more and elect node 3, in a higher term. Now there are **two leaders, in different terms**.",
  "tour.story.minority":
    "A client sends \"set 3\" to node 2. It can bring the entry to node 1 only. Two of five are no majority: the entry stays **uncommitted**, and the client is told of no success.",
  "tour.story.majority":
    "Another client sends \"set 8\" to node 3. Three of five nodes have it: it **commits**, and the client gets its answer.",
  "tour.story.heal": "The network heals. Node 2 sees the higher term and **steps down** at once.",
  "tour.story.agree":
    "Nodes 1 and 2 **roll their uncommitted entries back** and take the log of the new leader. \"Set 3\" is gone, and nobody had been told that it was done. All five agree on 8.\n\nThis is Raft. The other tours show what happens when you look closer still. Break something yourself: every button works at any time.",

  "tour.split-vote.title": "Split vote",
  "tour.split-vote.about": "Several candidates in one term, nobody has a majority. What ends it?",
  "tour.split-vote.start":
    "Five nodes start. This time three election timeouts are equally long. It is a rare accident, but it happens.",
  "tour.split-vote.three":
    "Three candidates in term 1, each with its own vote. A node votes **once a term**, so none of them can vote for another.",
  "tour.split-vote.spread":
    "The two votes that are left go to whoever asks first: node 4 to node 1, node 5 to node 2.",
  "tour.split-vote.nobody":
    "Two, two, one. A majority of five is three. Term 1 has **no leader**, and that is allowed: a term has one leader at most.",
  "tour.split-vote.end":
    "Every node draws a **new random timeout**. One runs out clearly before the others, its requests arrive first, and it wins. No counting of seats, no tie-breaker: chance is enough.",

  "tour.newer-log.title": "Who may win: comparing logs",
  "tour.newer-log.about":
    "A node whose log is behind cannot win, however often it asks. The last term counts first, then the length.",
  "tour.newer-log.start": "Node 1 leads. All logs are equal.",
  "tour.newer-log.behind":
    "Node 3 is cut off. \"Set 5\" is written by nodes 1 and 2, a majority, and committed. Node 3 has missed it.",
  "tour.newer-log.crash":
    "The leader dies, and node 3 is the first to ask for votes. If it won, a committed value would be lost.",
  "tour.newer-log.refused":
    "Node 2 **refuses**. The request names the candidate's last entry, and node 2's own log is newer. A voter compares the **term of the last entry** first, and only if those are equal, the **length**.",
  "tour.newer-log.wins":
    "Whoever wins now has the committed entry. A majority has every committed entry, a winner needs the votes of a majority, and the two share a node. (A refused node of floe also fetches what it lacks from the node that refused it, so that it may win the next time.)",

  "tour.prevote-off.title": "Without PreVote",
  "tour.prevote-off.about":
    "A node that was cut off comes back with a high term and deposes a leader that did well.",
  "tour.prevote-off.start":
    "Node 1 leads in term 1. PreVote is **off**: a node whose timeout runs out enters a new term at once.",
  "tour.prevote-off.away":
    "Node 3 is cut off. It hears no leader, starts term after term, and never gets an answer. Its **term climbs**. The other two do their work in term 1.",
  "tour.prevote-off.back":
    "The network heals. Node 3 brings its high term along. The leader must obey the rule \"a higher term makes you a follower\": a healthy leader is **deposed**, and for a while nobody leads.",
  "tour.prevote-off.new":
    "A new election ends it. Nothing was lost, but clients had to wait for no good reason. The tour \"With PreVote\" shows the same story with the cure.",

  "tour.prevote-on.title": "With PreVote",
  "tour.prevote-on.about": "The same node, cut off in the same way, comes back and disturbs nobody.",
  "tour.prevote-on.start":
    "PreVote is **on**. A node whose timeout runs out asks first: \"Would you vote for me?\" It is a pre-candidate, and this is a [PreVote](glossary:pre-vote). Its term does not change, and nobody's vote is spent.",
  "tour.prevote-on.leads": "A majority would, so it becomes a candidate in term 1, and then the leader.",
  "tour.prevote-on.away":
    "Node 3 is cut off for a long time. It asks and asks, but nobody says yes, so its term **stays at 1**.",
  "tour.prevote-on.back": "The network heals. Node 3 hears the leader and follows. The leader never noticed.",
  "tour.prevote-on.sticky":
    "And if node 3 asks for no good reason? We let its timeout run out now. The others **hear a leader** and say no. That is leader stickiness; the term is still 1.",

  "tour.check-quorum.title": "A leader that nobody hears",
  "tour.check-quorum.about":
    "CheckQuorum: a leader that no longer reaches a majority steps down, so that clients look elsewhere.",
  "tour.check-quorum.start":
    "Node 1 leads five nodes, with CheckQuorum on. It remembers which followers have answered lately.",
  "tour.check-quorum.cut":
    "The network splits. Only node 2 still answers. A client asks node 1 to set `x` to 3; it cannot be committed here.",
  "tour.check-quorum.down":
    "No majority has answered for an election timeout. Node 1 **steps down by itself**. It will not keep clients waiting for an answer that cannot come.",
  "tour.check-quorum.other":
    "The larger side elects a leader. At this moment, there is one leader in the cluster.",
  "tour.check-quorum.end":
    "After the network heals all follow it. \"Set 3\" was never committed and leaves the logs. Node 1 sees another entry in its place, and tells the client for certain: **refused**, try again.",

  "tour.transfer.title": "Handing leadership over",
  "tour.transfer.about":
    "Before planned work on a machine its leadership moves elsewhere in milliseconds, and no write fails.",
  "tour.transfer.start":
    "Node 1 leads, and its machine is about to be serviced. If we just stopped it, the others would wait for an election timeout.",
  "tour.transfer.write": "A client's write is under way.",
  "tour.transfer.ask":
    "Instead we ask it to hand over to node 2. It makes sure that node 2 has its whole log, and sends **TimeoutNow**: \"do not wait, campaign now\".",
  "tour.transfer.campaign":
    "Node 2 campaigns at once, in term 2. It has the newest log, and it says that it was invited, so that the others do not refuse because they hear a leader.",
  "tour.transfer.end":
    "The write that was under way is done, and its client knows it. The old leader follows; its machine can be stopped.",

  "tour.log-repair.title": "Repairing a log",
  "tour.log-repair.about":
    "A node comes back with entries that nobody else has. The leader finds where the logs part, skipping a whole term at a time.",
  "tour.log-repair.start": "Node 1 leads in term 1.",
  "tour.log-repair.alone":
    "It is cut off, and does not know it yet. Three requests of clients go into its log and nowhere else.",
  "tour.log-repair.others": "The others elect node 2, in term 2.",
  "tour.log-repair.write":
    "And they go on. From index 2 on, there are two different logs now. The colours are the terms.",
  "tour.log-repair.third":
    "Node 3 takes over, in term 3. A new leader does not know what the others have. It **assumes that their logs are like its own**, and will try from the end.",
  "tour.log-repair.probe":
    "The links are whole again. Each append names the entry **before** its own, by index and term. Node 1 does not have that entry: it **rejects**, and says where its log could agree.",
  "tour.log-repair.truncate":
    "The leader goes back to where both could agree, **a whole term at a time** and not entry by entry. Then it sends what follows. Node 1 **truncates** its three entries and takes the leader's. A leader never changes its own log.",
  "tour.log-repair.end":
    "All logs are the same. This is **log matching**: if two logs agree in one entry, they agree in everything before it.",

  "tour.pipeline.title": "Batches and a pipeline",
  "tour.pipeline.about":
    "A message to the other side of the world takes its time. The leader does not wait for each answer.",
  "tour.pipeline.start":
    "These nodes are far apart: a message takes 40 ms, one way. If the leader waited for the answer to each entry, it could write only twelve a second.",
  "tour.pipeline.asked": "A client asks for \"set 1\", and a moment later ...",
  "tour.pipeline.first": "... for \"add 1\". The first entry is on its way to the followers.",
  "tour.pipeline.second":
    "The second one follows **before the first is answered**: two messages to node 2 are under way at once. This is a **pipeline**. Its window is limited, in messages and in bytes.",
  "tour.pipeline.away": "Node 3 dies before the first entry has reached it. Three more changes follow.",
  "tour.pipeline.batch":
    "When it is back it gets all five entries in **one message**, and writes them to its disk with one write: a **batch**. The more there is to send, the larger the batches grow.",
  "tour.pipeline.end": "The order is that of the log all the same, and so is the result: 5.",

  "tour.snapshot.title": "A snapshot for a node that lags",
  "tour.snapshot.about":
    "Logs cannot grow for ever. A node that was away too long gets the state instead of the entries.",
  "tour.snapshot.start":
    "In this world a node takes a [snapshot](glossary:snapshot) after every four applied entries.",
  "tour.snapshot.away": "Node 3 is down. Meanwhile five changes are made.",
  "tour.snapshot.compact":
    "Nodes 1 and 2 each write down their state, of **applied entries only**, and drop the entries that it contains. Each does so on its own; nobody has to agree.",
  "tour.snapshot.back":
    "Node 3 comes back. It needs entry 2, but the leader does not have it any more. So the leader sends its **snapshot**.",
  "tour.snapshot.install":
    "The snapshot says which entry it ends with, so that node 3 knows where its log goes on. The state is there at once: `x` is 5.",
  "tour.snapshot.end": "From there on it gets entries like everybody else.",

  "tour.no-op.title": "What the empty entry is for",
  "tour.no-op.about":
    "A new leader cannot commit old entries by counting. Its first act is an empty entry of its own term.",
  "tour.no-op.start":
    "Every leader starts with an entry that does nothing, a **no-op**. This one is entry 1, of term 1.",
  "tour.no-op.everywhere":
    "\"Set 5\" reaches everybody. But the answers to the leader get lost on the way, and nobody knows that the entry is on all disks.",
  "tour.no-op.dies":
    "The leader dies, and a new one is elected. It has \"set 5\" of term 1 in its log, but it **must not commit it by counting copies** (the tour \"Figure 8\" shows why).",
  "tour.no-op.noop":
    "It writes its own no-op behind it. When a majority has the no-op, entry 3 is committed, and with it **everything before it**. Now \"set 5\" is committed, too.",
  "tour.no-op.end":
    "Without the no-op the value would have had to wait for the next client. A leader also serves no reads before its no-op is committed: it may not know yet what is committed.",

  "tour.figure-8.title": "Figure 8",
  "tour.figure-8.about":
    "An entry is on a majority of the nodes and can still disappear. Why a leader counts only entries of its own term.",
  "tour.figure-8.a": "Five nodes; node 1 leads in term 1. What follows is **figure 8 of the Raft paper**.",
  "tour.figure-8.b": "**(a)** \"Set 2\" reaches node 2 only. Two of five: not committed.",
  "tour.figure-8.c": "**(b)** Node 1 dies. Nodes 3 and 4 elect node 5, whose log is no worse than theirs.",
  "tour.figure-8.d": "Node 5 takes \"set 3\" into its own log and reaches nobody any more.",
  "tour.figure-8.e": "**(c)** Node 5 dies, node 1 comes back and is elected, in a still higher term.",
  "tour.figure-8.f":
    "It brings its log to node 3, and node 2 confirms \"set 2\", but its disk hangs before it has the no-op. Now \"set 2\" is on the disks of nodes 1, 2 and 3, **a majority**. Is it committed? The leader says no: the entry is of an older term. It would take an entry of its own term, such as the no-op, on a majority.",
  "tour.figure-8.g":
    "**(d)** The power fails at nodes 1, 2 and 3; nodes 2 and 5 come back. The last entry of node 5 has a **newer term** than that of node 2, so nodes 2 and 4 vote for it.",
  "tour.figure-8.h":
    "And it overwrites \"set 2\" on node 2. The entry was on a majority, and it is **gone**. Had node 1 called it committed, a promise would be broken now.",
  "tour.figure-8.i":
    "All agree in the end, and the verdict holds, since nobody was told that \"set 2\" was done. The tour \"Break it: count old terms\" runs the same steps with the rule switched off.",

  "tour.phase-1.title": "The leader dies (1): before the request arrives",
  "tour.phase-1.about":
    "The first of seven moments at which a leader can die. Nothing has happened yet, and a retry is all it takes.",
  "tour.phase-1.start":
    "Seven tours look at the same question: a client asks for \"add 5\", and the leader dies **at the worst moment**. What does the client know, and what is in the logs?",
  "tour.phase-1.dead": "**Moment 1.** The leader is dead before the request arrives. No log has it.",
  "tour.phase-1.elect": "The others elect node 2.",
  "tour.phase-1.retry": "The client tries again, at the new leader, and succeeds.",
  "tour.phase-1.end": "The old leader comes back as a follower and learns the rest. This was the easy one.",

  "tour.phase-2.title": "The leader dies (2): only its own log has it",
  "tour.phase-2.about":
    "The entry is on one disk only. It is lost without having been acknowledged, and overwritten later.",
  "tour.phase-2.start": "Node 1 leads.",
  "tour.phase-2.alone":
    "**Moment 2.** The leader has written \"add 5\" to its own disk, and before anything leaves ...",
  "tour.phase-2.dies":
    "... it dies. Its disk keeps the entry. The others know nothing of it and elect node 2, whose no-op takes the place at index 2. The client has **no answer**: for it, the outcome is unknown.",
  "tour.phase-2.retry": "It retries, and the new leader commits \"add 5\" as entry 3.",
  "tour.phase-2.end":
    "The old leader returns. Its own entry 2 is of an old term and not committed: it is **overwritten**. The value is 5, not 10.",

  "tour.phase-3.title": "The leader dies (3): all followers have it",
  "tour.phase-3.about":
    "Every log has the entry, but the leader never heard so. The next leader commits it, and a retry must not add twice.",
  "tour.phase-3.start": "Node 1 leads.",
  "tour.phase-3.all":
    "**Moment 3.** The followers have written the entry, but their answers get lost. The leader does not know that a majority has it.",
  "tour.phase-3.dies":
    "It dies. The new leader has the entry, and commits it together with its own no-op. `x` is 5, and the client knows **nothing** of it.",
  "tour.phase-3.retry":
    "The client retries, with the **same session and number**. The nodes see that this request was applied before, and answer with the first result. `x` stays 5.",
  "tour.phase-3.end":
    "Without the session it would be 10. The tour \"Retry with and without a session\" shows both.",

  "tour.phase-4.title": "The leader dies (4): some followers have it",
  "tour.phase-4.about":
    "On fewer than a majority: it may live or vanish. On a majority: it lives. An acknowledged write is never lost.",
  "tour.phase-4.start": "Five nodes, node 1 leads.",
  "tour.phase-4.few":
    "**Moment 4, first case.** The entry is on nodes 1 and 2: two of five, fewer than a majority. Then the leader dies.",
  "tour.phase-4.other":
    "Say that node 2 is away, too. The others elect a leader who has never seen the entry. It will be overwritten. (Had node 2 been there and been elected, it would have survived. Both are right: nobody was promised anything.)",
  "tour.phase-4.other-end": "The retry commits it once, and all logs converge.",
  "tour.phase-4.many": "**Second case**, from the beginning: node 1 leads.",
  "tour.phase-4.majority": "This time nodes 1, 2 and 3 have the entry: **a majority**. The answers are lost.",
  "tour.phase-4.asks":
    "The leader dies. Node 4, which does not have the entry, asks for votes first. Nodes 2 and 3 have newer logs and **refuse**, and without one of them there is no majority.",
  "tour.phase-4.must":
    "So nobody can lead **without the entry**, and it survives every election. (In floe a refused node fetches what it lacks from those who refused it. That is how node 4 becomes the leader after all, with the entry.)",

  "tour.phase-5.title": "The leader dies (5): committed, nobody else knows",
  "tour.phase-5.about":
    "The client has its answer, and the only node that knows about the commit dies. The write survives.",
  "tour.phase-5.start": "Node 1 leads.",
  "tour.phase-5.answered":
    "**Moment 5.** The entry is committed at the leader, and the client has its answer. The followers have the entry, but do not know that it is committed.",
  "tour.phase-5.dies":
    "Now it dies. The new leader has the entry and cannot tell whether it was committed. It need not: it **never drops** what is in its log.",
  "tour.phase-5.end": "Its no-op commits everything before it. What a client was told stays true.",

  "tour.phase-6.title": "The leader dies (6): committed everywhere, no answer",
  "tour.phase-6.about": "All that is missing is the answer. The retry gets the first result.",
  "tour.phase-6.start":
    "Node 1 leads. In this world a node needs 60 ms to apply an entry, so that there is time to watch.",
  "tour.phase-6.committed":
    "**Moment 6.** All three nodes know that \"add 5\" is committed. The leader is just about to apply it and to answer ...",
  "tour.phase-6.dies":
    "... and dies. The others apply the entry. The value is 5, and the client has heard nothing.",
  "tour.phase-6.retry":
    "It asks again with the same session and number. The answer is that of the first time: 5. Nothing is added twice.",

  "tour.phase-7.title": "The leader is cut off (7): two leaders",
  "tour.phase-7.about":
    "Not dead, only cut off: two leaders in different terms. Only the side with the majority commits.",
  "tour.phase-7.start":
    "Node 1 leads. CheckQuorum is off here, so that a leader without followers goes on believing that it leads.",
  "tour.phase-7.cut":
    "**Moment 7.** The network splits. The others elect node 2. This is a \"split brain\": two leaders, in terms 1 and 2.",
  "tour.phase-7.both":
    "Both are asked to write. Only one of them can reach a majority, because **there is only one majority**.",
  "tour.phase-7.heal":
    "When the network heals, the old leader sees the higher term, steps down, and takes the other log. Nothing that was acknowledged is lost.",

  "tour.retry.title": "Retry with and without a session",
  "tour.retry.about": "The same accident twice: once the value becomes 10, once it stays 5.",
  "tour.retry.start":
    "A client asks for \"add 5\" and does not get an answer. It does not know whether the change was made. Should it ask again?",
  "tour.retry.lost":
    "**Without a session.** The entry reaches all logs; the answers to the leader are lost, and the leader dies.",
  "tour.retry.again": "The new leader commits it. The change **was** made.",
  "tour.retry.twice":
    "The client asks again, as if for the first time. Now `x` is **10**. Raft did nothing wrong: it was given two requests.",
  "tour.retry.session":
    "**With a session**, from the beginning. Each request carries the client's [session](glossary:session) and a number.",
  "tour.retry.session-lost": "The same accident ...",
  "tour.retry.session-again": "... the same new leader ...",
  "tour.retry.once":
    "... and the retry. The number was seen before, so the stored answer is given, and `x` is **5**. The table of sessions is part of the replicated state: every node has it, and every snapshot.",

  "tour.stale-read.title": "A stale read",
  "tour.stale-read.about": "Reading whatever a node has is fast, and sometimes wrong by a few seconds.",
  "tour.stale-read.start":
    "In this world a read is answered from the state of the node that is asked, without a word to the others.",
  "tour.stale-read.five": "`x` is 5 everywhere.",
  "tour.stale-read.cut": "The leader is cut off, the others elect node 2. Node 1 has not noticed.",
  "tour.stale-read.eight": "A client sets `x` to 8 at node 2, and is told that it is done.",
  "tour.stale-read.read":
    "After that, it reads at node 1: **5**. The answer is old. For some purposes that is good enough; as the default it would be a trap. The next tours show two cures.",

  "tour.read-index.title": "ReadIndex: a read that is never stale",
  "tour.read-index.about":
    "Before it answers, the leader asks a majority whether it still leads. No log entry is needed.",
  "tour.read-index.start": "The same story as in \"A stale read\", but reads are confirmed by **ReadIndex**.",
  "tour.read-index.good": "`x` is 5.",
  "tour.read-index.round":
    "A read. The leader notes its commit index and sends a round of heartbeats. When a majority has answered, it **knows that it led when the read came**, and answers. The log did not grow.",
  "tour.read-index.cut": "Now the leader is cut off again, and node 2 is elected.",
  "tour.read-index.eight": "`x` becomes 8, and the client knows.",
  "tour.read-index.wait":
    "A read at node 1. It asks, and nobody answers. So it gives **no answer rather than an old one**.",
  "tour.read-index.end": "The network heals; node 1 follows node 2.",
  "tour.read-index.follower":
    "A follower can serve reads as well: it asks the leader for the index, waits until it has applied it, and answers from its own state: **8**.",

  "tour.lease.title": "Lease reads and clocks",
  "tour.lease.about":
    "With a lease a leader answers reads at once. It depends on clocks that run about equally fast.",
  "tour.lease.start":
    "A follower that answers a heartbeat **promises** to elect nobody for an election timeout. While a majority of such promises runs, the leader has a [lease](glossary:lease).",
  "tour.lease.set": "`x` is 5, and the leader's lease is running.",
  "tour.lease.read":
    "A read is answered **at once**, without a single message: as long as the lease runs, nobody else can have been elected.",
  "tour.lease.cut":
    "The leader is cut off. No answers come, and its lease **runs out**, before the promises of the others do.",
  "tour.lease.no-lease":
    "Now a read has to go the way of ReadIndex, and gets no answer. That is right: soon there may be another leader.",
  "tour.lease.skew":
    "**Clocks that differ.** Each node measures by its own clock. The lease is shorter than the promise by a margin, for clocks that run at slightly different rates.",
  "tour.lease.little":
    "The clocks of nodes 2 and 3 run 5 % fast. They elect a leader a little early, but still **after the lease has ended**.",
  "tour.lease.much":
    "Once more, with clocks that are **far** beyond the margin: twice as fast as the leader's.",
  "tour.lease.broken":
    "Their promises end too early, and they elect a leader **while the old lease still runs**. The checker stops the world: two nodes could answer reads now. This is what a lease costs: it trusts clocks. ReadIndex does not, and it is floe's default.",

  "tour.learner.title": "A learner joins and is promoted",
  "tour.learner.about":
    "A new node first learns without voting, so that it cannot slow anybody down. Then it is promoted.",
  "tour.learner.start": "Three voters. Node 4 is installed, but belongs to no cluster.",
  "tour.learner.write": "They already have a log.",
  "tour.learner.add":
    "The change of the membership is itself **an entry of the log**. Node 4 becomes a [learner](glossary:learner): it gets all entries, but it does not vote, and nobody counts it. A majority is still two of three.",
  "tour.learner.slow":
    "Even if it dies nobody waits for it. Had it joined as a voter at once, a majority would be three of four, and one more failure would stop the cluster.",
  "tour.learner.catch-up": "It comes back and catches up.",
  "tour.learner.promote":
    "Now it is **promoted**. The leader checks first that it has caught up. From here on a majority is three of four.",
  "tour.learner.other": "**The other way: join first, sync later.** The same cluster, from the beginning.",
  "tour.learner.other-join":
    "Node 4 becomes a voter at once. Its log is empty, and the link to it is slow. Still it counts: a majority is three of four from now on.",
  "tour.learner.other-stall":
    "Now one node fails. Two have the entry, three are needed, and **every write waits** until the newcomer has caught up.",
  "tour.learner.other-end":
    "Nothing is lost, but the clients noticed. As a learner it would have caught up without anybody waiting. floe offers both; the learner is the better habit.",

  "tour.joint.title": "Joint consensus: from 3 to 5, then the leader leaves",
  "tour.joint.about":
    "Changing several members at once is dangerous, unless two majorities must agree for a while. Then the leader removes itself.",
  "tour.joint.start":
    "Three voters are to become five. Nodes cannot all switch at the same instant. If some still counted two of three as a majority and others three of five, the two majorities **need not meet**, and there could be two leaders.",
  "tour.joint.enter":
    "So the leader first writes a [joint](glossary:joint) membership, old and new together. A node uses it as soon as it is in its log. While it holds, everything needs **a majority of the old and a majority of the new**.",
  "tour.joint.leave":
    "Once the joint membership is committed, the leader writes the new one alone. Five nodes decide now, and no moment was without its majority.",
  "tour.joint.remove":
    "Next the leader is told to remove **itself**. It hands over to another member and goes.",
  "tour.joint.end":
    "The four that stay work on. Node 1 can be switched off; even if it is not, it disturbs nobody.",

  "tour.replace.title": "Replacing a dead member",
  "tour.replace.about": "A machine is gone with its disk. A new one takes its place.",
  "tour.replace.start": "Three voters, and node 4 as a spare.",
  "tour.replace.lost":
    "Node 3 loses its disk for ever. The other two still are a majority, but **one more failure** would stop them. And node 3 must not simply come back empty: it has voted and acknowledged, and would not remember.",
  "tour.replace.replace":
    "Node 4 takes its place, with an id of its own. There are three whole voters again.",

  "tour.disk-stall.title": "A disk that hangs",
  "tour.disk-stall.about":
    "Disks do not only fail, they hang. Nobody waits for one disk, not even for the leader's.",
  "tour.disk-stall.start": "Node 1 leads. Each write to a disk takes 3 ms here.",
  "tour.disk-stall.follower":
    "The disk of node 3 hangs. It cannot acknowledge \"set 5\", because it must not acknowledge what is not [durable](glossary:durable). Nobody waits for it: nodes 1 and 2 are a majority.",
  "tour.disk-stall.leader":
    "Now it is the **leader's** disk. It sends the entry while its own disk still writes. Two followers have it on disk: that is a majority, and the entry is committed **before the leader's own disk is done**.",
  "tour.disk-stall.handover":
    "But a leader whose disk hangs for long is of little use. Node 1 notices that, and **hands over** to a node whose disk works.",
  "tour.disk-stall.end": "The disk recovers, and the node writes down what it missed.",

  "tour.multi-raft.title": "Many groups, one heartbeat",
  "tour.multi-raft.about":
    "A store of many small groups would drown in heartbeats. Machines send one for all of their groups, and idle groups sleep.",
  "tour.multi-raft.start":
    "Three machines carry **six groups** of Raft. Each group is what you have seen so far: a log, terms, and a leader of its own.",
  "tour.multi-raft.elect":
    "Each group elects its own leader. The work of leading is spread: machine 1 leads three of them, machine 2 the other three.",
  "tour.multi-raft.beats":
    "Each of the six would send heartbeats on each link. Instead a machine sends **one beat** to another, which carries the heartbeats of all groups that it leads.",
  "tour.multi-raft.sleep":
    "Nobody writes. After a while the groups **fall asleep**: their timers stop, and they cost nothing. Their leaders stay leaders. With a million idle groups, only the machines beat.",
  "tour.multi-raft.crash":
    "A machine dies. Its beats stop, and that **wakes every group** that it led. Each of them elects another leader, and all six are served again.",

  "tour.break-vote.title": "Break it: forget the vote",
  "tour.break-vote.about": "A vote that does not survive a restart: one node votes twice in one term.",
  "tour.break-vote.start":
    "In this world one rule is switched off: a node that restarts keeps its term, but **forgets its vote**. (sofa-jraft had this bug.) Node 3 has just voted for node 1, in term 1. Nodes 1 and 2 do not hear each other.",
  "tour.break-vote.restart": "Node 3 restarts at once. Its disk says term 1, and no vote.",
  "tour.break-vote.elected":
    "Its first vote arrives: node 1 leads in term 1. Meanwhile node 2 becomes a candidate, in term 1 as well, and asks node 3.",
  "tour.break-vote.caught":
    "Node 3 votes **again, in the same term**. The checker stops the world right there: with this vote node 2 would lead in term 1, too. That is why term and vote must be on disk before any answer leaves.",

  "tour.break-old-terms.title": "Break it: count old terms",
  "tour.break-old-terms.about":
    "Figure 8 with the rule switched off: an entry is called committed, and could still disappear.",
  "tour.break-old-terms.a":
    "The steps of the tour \"Figure 8\" once more. Switched off: \"a leader counts copies only of entries of **its own term**\". (logcabin, goraft and CCF had this bug.)",
  "tour.break-old-terms.b": "\"Set 2\" reaches node 2 only.",
  "tour.break-old-terms.c": "Node 1 dies, node 5 is elected by nodes 3 and 4 ...",
  "tour.break-old-terms.d": "... takes \"set 3\" into its own log only ...",
  "tour.break-old-terms.e": "... and dies. Node 1 comes back and leads again.",
  "tour.break-old-terms.f":
    "\"Set 2\" reaches node 3, and node 2 confirms that it has it: a majority. The leader counts three copies, calls the entry **committed**, and would tell the client. The checker does not wait for the harm to be done: you have seen in \"Figure 8\" how node 5 overwrites this very entry.",

  "tour.break-longest-log.title": "Break it: the longest log wins",
  "tour.break-longest-log.about":
    "Comparing logs by length alone looks sensible. It loses what was committed.",
  "tour.break-longest-log.start":
    "Switched off here: the comparison of the **last terms**. A voter looks at the length of the log only. (jgroups-raft had this bug.) Node 1 leads.",
  "tour.break-longest-log.long":
    "It is cut off, and collects four entries that nobody else has. Its log is long and worthless.",
  "tour.break-longest-log.short": "The others elect node 2.",
  "tour.break-longest-log.commit":
    "It commits \"set 9\", and the client is told so. Its log is shorter and **newer**.",
  "tour.break-longest-log.caught":
    "Node 2 dies, and node 1 comes back with the longest log. Node 3 votes for it, and a leader without the committed entry takes over. The checker names the rule: a leader must **have everything that was committed before it**.",

  "tour.break-change.title": "Break it: change members too early",
  "tour.break-change.about":
    "The bug that was in Raft itself: a new leader changes the membership before its no-op is committed.",
  "tour.break-change.start":
    "Four voters. Members are changed one at a time, and any two majorities meet. Is that enough? In 2015 Raft's author found that it is **not**.",
  "tour.break-change.first":
    "Node 1 adds node 5, and is cut off before the others hear of it. **In its log there are five voters**; it and node 5 count three of five.",
  "tour.break-change.second": "The others elect node 2.",
  "tour.break-change.heard":
    "It has heard from a majority, but its no-op is still being written to the disks: **nothing of its own term is committed**.",
  "tour.break-change.caught":
    "At once it is asked to remove node 1. The rule is switched off, so it does. Now **2 and 3** are a majority of {2, 3, 4}, and **1, 4 and 5** are one of {1, 2, 3, 4, 5}. They do not meet: two leaders could commit different things. The rule that prevents it: first commit an entry of your own term.",

  "tour.break-read.title": "Break it: read without asking",
  "tour.break-read.about":
    "A leader that answers reads by itself. The checker of histories finds the old answer.",
  "tour.break-read.start":
    "Here reads promise to be fresh, but the question \"do I still lead?\" is left out. (Jepsen found this in etcd and Consul in 2014.)",
  "tour.break-read.cut": "The leader is cut off, and the others elect node 2.",
  "tour.break-read.write": "`x` is 8, and a client knows it.",
  "tour.break-read.caught":
    "Then somebody reads at node 1. The answer is older than one that a client has already been given: the history is not [linearizable](glossary:linearizable), and the verdict shows it.",

  "tour.break-lease.title": "Break it: a lease without a margin",
  "tour.break-lease.about": "Clocks that differ by a few percent, and a lease that does not expect it.",
  "tour.break-lease.start":
    "A follower promises for 150 ms, by its clock, to elect nobody else. A careful leader takes its lease for shorter, 135 ms by its own clock. Here it takes the **whole** 150. (sofa-jraft had this bug.)",
  "tour.break-lease.fast":
    "The clocks of nodes 2 and 3 run 8 % fast. The margin of a tenth would be enough for that.",
  "tour.break-lease.caught":
    "The leader is cut off. Their promises end a few milliseconds early, a new leader is elected, and the old one **still believes that it is alone**. A read there could return an old value.",

  "tour.break-disk.title": "Break it: acknowledge before the disk",
  "tour.break-disk.about": "It makes everything faster, until the power fails.",
  "tour.break-disk.start":
    "A write to a disk takes 40 ms here, and it is tempting not to wait. In this world followers acknowledge what they have only **in memory**. (valkey and robustmq did so.)",
  "tour.break-disk.caught":
    "The leader sends its no-op. The checker looks at the sender's disk **at the moment** at which an acknowledgement leaves. The hatched entry is not there. If two nodes lost power now, an answered write could be gone.",
};
