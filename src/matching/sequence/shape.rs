//! An expression prepared for the search: every node has a number, and a [`PartialInstance`]
//! says which events each node has.

use super::{Expression, MOST_EVENTS, Time};

/// The most nodes in an expanded expression, and the factor by which its events are
/// bounded: the memory of a search grows with it.
const MOST_NODES: usize = 1_000;
const MOST_WORK: u64 = 1_000_000;

/// No bound on a time.
const NEVER: Time = Time::MAX;

/// An expanded expression: repetitions of several observations are separate nodes.
#[derive(Clone, Debug)]
pub struct Shape {
    nodes: Vec<ShapeNode>,
    parts: usize,
    span: Option<Time>,
    has_choice: bool,
}

#[derive(Clone, Debug)]
struct ShapeNode {
    parent: usize,
    kind: NodeKind,
    children: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodeKind {
    /// This many events of a part.
    Slot {
        part: u16,
        times: u32,
    },
    All,
    Any,
    InOrder,
    /// Identical children, which are started in order.
    Copies,
    Within(Time),
}

/// A partial instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartialInstance {
    /// The slot that holds the last event.
    ending: usize,
    /// By node: the number of events that a slot lacks; the child of an `Any` that was
    /// chosen, counted from 1; the number of events in other nodes.
    counts: Vec<u32>,
    /// By node: the latest time that an event of it may have.
    until: Vec<Time>,
}

/// The positions of the events of each part.
pub trait Lists {
    /// The number of events after the one with this number, of any part.
    fn len(&self, behind: Option<usize>) -> usize;
    /// The number of events of this part in this span, after the event with this number
    /// (from the first if `None`).
    fn count(&self, part: u16, behind: Option<usize>, span: (Time, Time)) -> usize;
    /// The number of the first of them.
    fn first(&self, part: u16, behind: Option<usize>, span: (Time, Time)) -> Option<usize>;
}

/// The number of nodes in the expanded expression.
fn nodes(expression: &Expression) -> u64 {
    let below = match expression {
        Expression::Observed { .. } => 0,
        Expression::All(parts) | Expression::Any(parts) | Expression::InOrder(parts) => {
            parts.iter().map(nodes).fold(0, u64::saturating_add)
        }
        Expression::Within(inner, _) => nodes(inner),
        Expression::Repeated(inner, times) => nodes(inner).saturating_mul(*times),
    };
    below.saturating_add(1)
}

impl Shape {
    /// Expands an expression; `None` if an instance could have too many events.
    pub fn new(expression: &Expression) -> Option<Self> {
        let simple = expression.clone().simplified();
        let (events, nodes) = (simple.most_events(), nodes(&simple));
        let is_small = events <= MOST_EVENTS
            && nodes <= MOST_NODES as u64
            && events.saturating_mul(nodes) <= MOST_WORK;
        if !is_small {
            return None;
        }
        let mut shape = Shape {
            nodes: Vec::new(),
            parts: 0,
            span: simple.span(),
            has_choice: false,
        };
        shape.add(0, &simple);
        Some(shape)
    }

    fn add(&mut self, parent: usize, expression: &Expression) -> usize {
        let number = self.nodes.len();
        let kind = match expression {
            Expression::Observed { part, times } => {
                self.parts = self.parts.max(usize::from(*part) + 1);
                let times = u32::try_from(*times).expect("no more than MOST_EVENTS");
                NodeKind::Slot { part: *part, times }
            }
            Expression::All(_) => NodeKind::All,
            Expression::Any(_) => NodeKind::Any,
            Expression::InOrder(_) => NodeKind::InOrder,
            Expression::Within(_, most) => NodeKind::Within(*most),
            Expression::Repeated(..) => NodeKind::Copies,
        };
        self.has_choice |= kind == NodeKind::Any;
        self.nodes.push(ShapeNode {
            parent,
            kind,
            children: Vec::new(),
        });
        let children = match expression {
            Expression::Observed { .. } => vec![],
            Expression::All(parts) | Expression::Any(parts) | Expression::InOrder(parts) => {
                parts.iter().map(|part| self.add(number, part)).collect()
            }
            Expression::Within(inner, _) => vec![self.add(number, inner)],
            Expression::Repeated(inner, times) => {
                (0..*times).map(|_| self.add(number, inner)).collect()
            }
        };
        self.nodes[number].children = children;
        number
    }

    /// The number of parts.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// The longest span of an instance, if it is bounded.
    pub fn span(&self) -> Option<Time> {
        self.span
    }

    /// Whether an instance can do without something.
    pub fn has_choice(&self) -> bool {
        self.has_choice
    }

    /// The instances that consist only of their last event, which satisfies these parts:
    /// one for each slot that can hold it.
    pub fn ended_by(&self, parts: &[u16]) -> Vec<PartialInstance> {
        let mut states = Vec::new();
        for (slot, node) in self.nodes.iter().enumerate() {
            let NodeKind::Slot { part, .. } = node.kind else {
                continue;
            };
            // Copies are interchangeable.
            let is_first = self.above(slot).all(|(child, parent)| {
                self.nodes[parent].kind != NodeKind::Copies
                    || self.nodes[parent].children[0] == child
            });
            if is_first && parts.contains(&part) {
                let empty = self.empty(slot);
                states.extend(self.taken(&empty, slot, NEVER));
            }
        }
        states
    }

    fn empty(&self, ending: usize) -> PartialInstance {
        let count = |node: &ShapeNode| match node.kind {
            NodeKind::Slot { times, .. } => times,
            _ => 0,
        };
        PartialInstance {
            ending,
            counts: self.nodes.iter().map(count).collect(),
            until: vec![NEVER; self.nodes.len()],
        }
    }

    /// The nodes from this one up to the root, each with its parent.
    fn above(&self, node: usize) -> impl Iterator<Item = (usize, usize)> {
        let mut child = node;
        std::iter::from_fn(move || {
            let at = child;
            child = self.nodes[child].parent;
            (at != 0).then_some((at, child))
        })
    }

    /// The state with an event of this time in a slot, if the slot can hold it. The time
    /// is `NEVER` for the last event, which is placed before the others are known.
    fn taken(&self, state: &PartialInstance, slot: usize, time: Time) -> Option<PartialInstance> {
        if state.counts[slot] == 0 || state.until[slot] < time && time != NEVER {
            return None;
        }
        let mut next = state.clone();
        next.counts[slot] -= 1;
        for (child, parent) in self.above(slot) {
            let node = &self.nodes[parent];
            if time != NEVER && state.until[parent] < time {
                return None;
            }
            let position = node.children.iter().position(|one| *one == child)?;
            match node.kind {
                NodeKind::Slot { .. } | NodeKind::All => {}
                NodeKind::Any => {
                    let taken = u32::try_from(position).ok()? + 1;
                    if ![0, taken].contains(&state.counts[parent]) {
                        return None;
                    }
                    next.counts[parent] = taken;
                    continue;
                }
                // An earlier operand may not be later; the last event constrains nothing
                // yet.
                NodeKind::InOrder if time != NEVER => {
                    for before in &node.children[..position] {
                        next.until[*before] = next.until[*before].min(time);
                    }
                }
                NodeKind::InOrder => {}
                NodeKind::Copies => {
                    let before = position.checked_sub(1).map(|at| node.children[at]);
                    if before.is_some_and(|before| !self.is_begun(state, before)) {
                        return None;
                    }
                }
                NodeKind::Within(most) => {
                    if time != NEVER && next.until[child] == NEVER {
                        next.until[child] = time.saturating_add(most);
                    }
                }
            }
            next.counts[parent] += 1;
        }
        self.arrange(&mut next);
        Some(next)
    }

    /// Copies are interchangeable: those with events come first, in one order. The copy
    /// with the last event keeps its place.
    fn arrange(&self, state: &mut PartialInstance) {
        for (number, node) in self.nodes.iter().enumerate().rev() {
            if node.kind != NodeKind::Copies {
                continue;
            }
            let first = node.children[0];
            let length = node.children[1] - first;
            let pinned = usize::from(self.is_below(state.ending, first));
            let copies = first + pinned * length..first + node.children.len() * length;
            debug_assert!(copies.start > number);
            let read = |at: usize| (at..at + length).map(|at| (state.counts[at], state.until[at]));
            let mut all: Vec<(bool, Vec<(u32, Time)>)> = copies
                .clone()
                .step_by(length)
                .map(|at| (!self.is_begun(state, at), read(at).collect()))
                .collect();
            all.sort_unstable();
            let arranged = all.into_iter().flat_map(|(_, copy)| copy);
            for (at, (count, until)) in copies.zip(arranged) {
                state.counts[at] = count;
                state.until[at] = until;
            }
        }
    }

    fn is_begun(&self, state: &PartialInstance, node: usize) -> bool {
        match self.nodes[node].kind {
            NodeKind::Slot { times, .. } => state.counts[node] < times,
            _ => state.counts[node] > 0,
        }
    }

    /// The states after an event of these parts and this time.
    pub fn after<'a>(
        &'a self,
        state: &'a PartialInstance,
        parts: &'a [u16],
        time: Time,
        last: Time,
    ) -> impl Iterator<Item = PartialInstance> + 'a {
        let slots = self.nodes.iter().enumerate();
        slots.filter_map(move |(slot, node)| match node.kind {
            NodeKind::Slot { part, .. } if parts.contains(&part) => {
                let is_late_enough = self.from(state, slot, last) <= time;
                is_late_enough.then(|| self.taken(state, slot, time))?
            }
            _ => None,
        })
    }

    /// The earliest time at which an event of a slot may have happened, if the last event
    /// happened at `last`.
    fn from(&self, state: &PartialInstance, slot: usize, last: Time) -> Time {
        let mut from = Time::MIN;
        for (child, parent) in self.above(state.ending) {
            let node = &self.nodes[parent];
            match node.kind {
                NodeKind::Within(most) if self.is_below(slot, child) => {
                    from = from.max(last.saturating_sub(most));
                }
                NodeKind::InOrder => {
                    let position = node.children.iter().position(|one| *one == child);
                    let behind = &node.children[position.map_or(0, |at| at + 1)..];
                    if behind.iter().any(|one| self.is_below(slot, *one)) {
                        from = from.max(last);
                    }
                }
                _ => {}
            }
        }
        from
    }

    fn is_below(&self, node: usize, above: usize) -> bool {
        node == above || self.above(node).any(|(_, parent)| parent == above)
    }

    /// Whether no event is missing.
    pub fn is_complete(&self, state: &PartialInstance) -> bool {
        self.is_complete_at(state, 0)
    }

    fn is_complete_at(&self, state: &PartialInstance, node: usize) -> bool {
        let ShapeNode { kind, children, .. } = &self.nodes[node];
        match kind {
            NodeKind::Slot { .. } => state.counts[node] == 0,
            NodeKind::Any => match state.counts[node] {
                0 => false,
                taken => self.is_complete_at(state, children[taken as usize - 1]),
            },
            _ => children.iter().all(|one| self.is_complete_at(state, *one)),
        }
    }

    /// Whether there are enough events for what is missing, as far as counting can tell.
    pub fn may_complete(
        &self,
        state: &PartialInstance,
        lists: &impl Lists,
        behind: Option<usize>,
        last: Time,
    ) -> bool {
        if self.missing(state, 0) > lists.len(behind) {
            return false;
        }
        self.may_complete_at(state, 0, NEVER, &|part, slot, until, most| {
            let span = (self.from(state, slot, last), until);
            lists.count(part, behind, span) >= most
        })
    }

    /// The least number of missing events.
    fn missing(&self, state: &PartialInstance, node: usize) -> usize {
        let ShapeNode { kind, children, .. } = &self.nodes[node];
        let below = children.iter().map(|one| self.missing(state, *one));
        match kind {
            NodeKind::Slot { .. } => state.counts[node] as usize,
            NodeKind::Any => match state.counts[node] {
                0 => below.min().unwrap_or(0),
                taken => self.missing(state, children[taken as usize - 1]),
            },
            _ => below.sum(),
        }
    }

    fn may_complete_at(
        &self,
        state: &PartialInstance,
        node: usize,
        until: Time,
        has: &impl Fn(u16, usize, Time, usize) -> bool,
    ) -> bool {
        let until = until.min(state.until[node]);
        let ShapeNode { kind, children, .. } = &self.nodes[node];
        let mut below = children.iter();
        let may = |one: &usize| self.may_complete_at(state, *one, until, has);
        match kind {
            NodeKind::Slot { part, .. } => {
                let missing = state.counts[node] as usize;
                missing == 0 || has(*part, node, until, missing)
            }
            NodeKind::Any => match state.counts[node] {
                0 => below.any(may),
                taken => may(&children[taken as usize - 1]),
            },
            _ => below.all(may),
        }
    }

    /// The next event after this one that any of the states can use.
    pub fn next(
        &self,
        states: &[PartialInstance],
        lists: &impl Lists,
        behind: Option<usize>,
        last: Time,
    ) -> Option<usize> {
        let mut next: Option<usize> = None;
        for state in states {
            for (slot, node) in self.nodes.iter().enumerate() {
                let NodeKind::Slot { part, .. } = node.kind else {
                    continue;
                };
                if state.counts[slot] == 0 {
                    continue;
                }
                let above = self.above(slot).map(|(_, parent)| state.until[parent]);
                let until = above.fold(state.until[slot], Time::min);
                let span = (self.from(state, slot, last), until);
                let found = lists.first(part, behind, span);
                next = match (next, found) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
        }
        next
    }
}
