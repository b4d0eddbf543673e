//! The load generator: one thread, one epoll, no allocation per request.
//!
//! Open loop: request n is meant to leave at `start + n / rate`, whatever became of those before it, and its latency counts from
//! that moment. When no connection is free it waits its turn and the wait counts. What is never answered counts as well, with the
//! time it had waited when the round ended. Closed loop: each connection sends again as soon as it has its answer.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

use super::answer::{Answer, Progress};
use super::clock;
use super::cpus::pin_this_thread;

/// The event that is the timer's.
const TIMER: u64 = u64::MAX;
/// How long answers are waited for when the last request was sent.
const GRACE: u64 = clock::SECOND;
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// When requests leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At this many a second.
    Open(u32),
    /// One after the other on each connection.
    Closed,
}

/// One stretch of load.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Keep-alive connections.
    pub connections: usize,
    /// When requests leave.
    pub pace: Pace,
    /// Load before the measurement begins.
    pub warmup: Duration,
    /// The measurement.
    pub length: Duration,
    /// The generator's core.
    pub cpu: usize,
}

/// What a stretch of load gave.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Latencies of requests whose time lay within the measurement, in nanoseconds, the unanswered included.
    pub latencies: Vec<u64>,
    /// How late the generator itself was: from the intended time until it noticed it.
    pub lag: Vec<u64>,
    /// Requests written, warm-up included.
    pub sent: u64,
    /// Answered completely, warm-up included.
    pub answered: u64,
    /// Ended by an error or a wrong answer, warm-up included.
    pub failed: u64,
    /// Meant to be sent within the measurement, and never answered.
    pub unanswered: u64,
    /// Answers completed within the measurement, by second.
    pub per_second: f64,
    /// Connections that had to be opened again.
    pub reconnects: u64,
    /// Share of its time that the generator's thread computed.
    pub busy: f64,
    /// The target refused connections, and the load ended early.
    pub lost: bool,
}

/// Load that runs on a thread of its own.
pub struct Running(std::thread::JoinHandle<Outcome>);

impl Running {
    /// Waits for its end.
    pub fn finish(self) -> Outcome {
        self.0.join().expect("the generator does not panic")
    }
}

/// Starts load.
pub fn start(target: SocketAddr, plan: Plan) -> Running {
    let run = move || {
        pin_this_thread(&[plan.cpu]);
        Generator::new(target, plan).run()
    };
    let thread = std::thread::Builder::new().name("generator".into()).spawn(run).expect("a thread starts");
    Running(thread)
}

/// The request: a `GET` with the headers that an API client sends.
fn request(target: SocketAddr) -> Vec<u8> {
    format!(
        "GET /orders/4711 HTTP/1.1\r\nHost: {target}\r\nUser-Agent: bench/1.0\r\nAccept: application/json\r\n\
         Accept-Encoding: identity\r\nX-Request-Id: 0b0e4c1a-95f3-4a6e-9d6c-3c1a7b1de111\r\n\
         Authorization: Bearer c2VjcmV0LXRva2VuLW9mLXRoZS1iZW5jaG1hcms\r\nCookie: session=5f1c3a9e7b; theme=dark\r\n\r\n"
    )
    .into_bytes()
}

struct Connection {
    stream: Option<TcpStream>,
    answer: Answer,
    /// Intended time of the request under way.
    intended: Option<u64>,
}

struct Generator {
    target: SocketAddr,
    plan: Plan,
    request: Vec<u8>,
    poll: OwnedFd,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    due: VecDeque<u64>,
    /// The measurement: from, to.
    measured: (u64, u64),
    outcome: Outcome,
    completed_within: u64,
}

impl Generator {
    fn new(target: SocketAddr, plan: Plan) -> Self {
        let poll = epoll::create(CreateFlags::CLOEXEC).expect("epoll is there");
        let connections =
            (0..plan.connections).map(|_| Connection { stream: None, answer: Answer::default(), intended: None });
        let expected = match plan.pace {
            Pace::Open(rate) => u64::from(rate) * plan.length.as_secs().max(1),
            Pace::Closed => 100_000 * plan.length.as_secs().max(1),
        };
        let mut outcome = Outcome::default();
        outcome.latencies.reserve(expected as usize);
        outcome.lag.reserve(expected as usize);
        Self {
            target,
            plan,
            request: request(target),
            poll,
            connections: connections.collect(),
            idle: VecDeque::with_capacity(plan.connections),
            due: VecDeque::new(),
            measured: (0, 0),
            outcome,
            completed_within: 0,
        }
    }

    fn run(mut self) -> Outcome {
        for at in 0..self.connections.len() {
            self.connect(at);
        }
        let begun = (clock::now(), clock::thread_time());
        // The first request leaves a little later, when the timer is set.
        let start = begun.0 + clock::SECOND / 100;
        let measure = start + self.plan.warmup.as_nanos() as u64;
        self.measured = (measure, measure + self.plan.length.as_nanos() as u64);
        let timer = self.timer(start);
        let (mut events, mut buffer) = (Vec::with_capacity(256), vec![0; 256 * 1024]);
        let mut number = 0;
        loop {
            match epoll::wait(&self.poll, spare_capacity(&mut events), Some(&clock::timespec(clock::SECOND / 20))) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("epoll: {error}"),
            }
            for event in events.drain(..) {
                match event.data.u64() {
                    TIMER => drop(rustix::io::read(&timer, &mut buffer[..8])),
                    at => self.readable(at as usize, &mut buffer),
                }
            }
            let now = clock::now();
            self.fall_due(start, now, &mut number);
            self.send_due();
            let over = now >= self.measured.1 && (!self.under_way() || now >= self.measured.1 + GRACE);
            if over || self.outcome.lost {
                break;
            }
        }
        self.close(begun)
    }

    /// A timer that wakes the thread at each intended time; epoll's own timeout knows milliseconds only.
    fn timer(&self, start: u64) -> OwnedFd {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK);
        let timer = timer.expect("a timer can be had");
        let interval = match self.plan.pace {
            Pace::Open(rate) => clock::SECOND / u64::from(rate),
            Pace::Closed => clock::SECOND / 20,
        };
        let times = Itimerspec { it_value: clock::timespec(start), it_interval: clock::timespec(interval) };
        timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &times).expect("a timer can be set");
        epoll::add(&self.poll, &timer, EventData::new_u64(TIMER), EventFlags::IN).expect("a timer is watched");
        timer
    }

    /// Notes the requests whose time has come.
    fn fall_due(&mut self, start: u64, now: u64, number: &mut u64) {
        match self.plan.pace {
            Pace::Open(rate) => loop {
                let intended = start + *number * clock::SECOND / u64::from(rate);
                if intended > now || intended >= self.measured.1 {
                    break;
                }
                if intended >= self.measured.0 {
                    self.outcome.lag.push(now - intended);
                }
                self.due.push_back(intended);
                *number += 1;
            },
            Pace::Closed if (start..self.measured.1).contains(&now) => self.due.extend(self.idle.iter().map(|_| now)),
            Pace::Closed => {}
        }
    }

    /// Sends what is due on the connections that are free, the longest idle first.
    fn send_due(&mut self) {
        while let (Some(&intended), Some(&at)) = (self.due.front(), self.idle.front()) {
            self.due.pop_front();
            self.idle.pop_front();
            let connection = &mut self.connections[at];
            let Some(stream) = &mut connection.stream else { continue };
            connection.intended = Some(intended);
            match stream.write(&self.request) {
                // So small a request always fits into an empty socket.
                Ok(n) if n == self.request.len() => self.outcome.sent += 1,
                _ => self.broken(at),
            }
        }
    }

    fn under_way(&self) -> bool {
        !self.due.is_empty() || self.connections.iter().any(|connection| connection.intended.is_some())
    }

    fn readable(&mut self, at: usize, buffer: &mut [u8]) {
        loop {
            let connection = &mut self.connections[at];
            let Some(stream) = &mut connection.stream else { return };
            let progress = match stream.read(buffer) {
                Ok(0) => Progress::Wrong,
                Ok(n) if connection.intended.is_some() => connection.answer.feed(&buffer[..n]),
                Ok(_) => Progress::Wrong,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => Progress::Wrong,
            };
            match progress {
                Progress::Open => {}
                Progress::Complete => return self.complete(at),
                Progress::Wrong => return self.broken(at),
            }
        }
    }

    fn complete(&mut self, at: usize) {
        let now = clock::now();
        let connection = &mut self.connections[at];
        connection.answer.reset();
        let intended = connection.intended.take().expect("an answer belongs to a request");
        self.idle.push_back(at);
        self.outcome.answered += 1;
        if (self.measured.0..self.measured.1).contains(&intended) {
            self.outcome.latencies.push(now - intended);
        }
        self.completed_within += u64::from((self.measured.0..self.measured.1).contains(&now));
    }

    /// A connection that broke: with a request on it that is a failure, without one the proxy has merely closed it.
    fn broken(&mut self, at: usize) {
        let failed = self.connections[at].intended.take().is_some();
        self.outcome.failed += u64::from(failed);
        self.outcome.reconnects += 1;
        self.idle.retain(|idle| *idle != at);
        self.connect(at);
    }

    fn connect(&mut self, at: usize) {
        let connection = &mut self.connections[at];
        connection.answer.reset();
        connection.stream = None;
        let Ok(stream) = TcpStream::connect_timeout(&self.target, CONNECT) else {
            self.outcome.lost = true;
            return;
        };
        drop(stream.set_nodelay(true));
        stream.set_nonblocking(true).expect("a socket can be made non-blocking");
        epoll::add(&self.poll, &stream, EventData::new_u64(at as u64), EventFlags::IN).expect("a socket is watched");
        connection.stream = Some(stream);
        self.idle.push_back(at);
    }

    fn close(mut self, begun: (u64, u64)) -> Outcome {
        let now = clock::now();
        let waiting =
            self.connections.iter().filter_map(|connection| connection.intended).chain(self.due.iter().copied());
        if matches!(self.plan.pace, Pace::Open(_)) {
            for intended in waiting.filter(|at| (self.measured.0..self.measured.1).contains(at)) {
                self.outcome.latencies.push(now - intended);
                self.outcome.unanswered += 1;
            }
        }
        self.outcome.per_second = self.completed_within as f64 / self.plan.length.as_secs_f64();
        self.outcome.busy = (clock::thread_time() - begun.1) as f64 / (now - begun.0) as f64;
        self.outcome
    }
}
