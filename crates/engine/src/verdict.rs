//! From what was found to one word. The order is that of what matters: something left behind is worse than a run
//! that was ended, and a failure without a working fault is not the fault's.

use squall_model::event::AbortCause;
use squall_model::verdict::Verdict;

/// What a run found, in words.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Findings {
    /// What could not be put back, or is not known to be.
    pub(crate) residue: Vec<String>,
    /// What ended the run early.
    pub(crate) aborted: Option<(AbortCause, String)>,
    /// What is wrong with the experiment or this host, seen before anything was touched.
    pub(crate) invalid: Vec<String>,
    /// What did not hold before.
    pub(crate) not_steady: Vec<String>,
    /// Faults that could not be made or showed no effect.
    pub(crate) no_effect: Vec<String>,
    /// Where the hypothesis did not hold, or the steady state did not return.
    pub(crate) failed: Vec<String>,
    /// What held.
    pub(crate) held: Vec<String>,
}

impl Findings {
    /// The verdict, and why; the first reason is the most important.
    pub(crate) fn verdict(&self) -> (Verdict, Vec<String>) {
        let aborted: Vec<String> = self.aborted.iter().map(|(_, reason)| reason.clone()).collect();
        let ranks = [
            (Verdict::Residue, &self.residue),
            (Verdict::Aborted, &aborted),
            (Verdict::Invalid, &self.invalid),
            (Verdict::NotSteady, &self.not_steady),
            (Verdict::NoEffect, &self.no_effect),
            (Verdict::Failed, &self.failed),
        ];
        let verdict = ranks.iter().find(|(_, reasons)| !reasons.is_empty()).map(|(verdict, _)| *verdict);
        match verdict {
            Some(verdict) => (verdict, ranks.iter().flat_map(|(_, reasons)| (*reasons).clone()).collect()),
            None => (Verdict::Passed, self.held.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_more_comes_first() {
        let mut findings = Findings { held: vec!["it held".into()], ..Findings::default() };
        let mut expect = |change: fn(&mut Findings), verdict, first: &str| {
            change(&mut findings);
            let (word, reasons) = findings.verdict();
            assert_eq!((word, reasons[0].as_str()), (verdict, first));
        };
        expect(|_| (), Verdict::Passed, "it held");
        expect(|findings| findings.failed.push("slow".into()), Verdict::Failed, "slow");
        expect(|findings| findings.no_effect.push("no packets".into()), Verdict::NoEffect, "no packets");
        expect(|findings| findings.not_steady.push("down".into()), Verdict::NotSteady, "down");
        expect(|findings| findings.invalid.push("no root".into()), Verdict::Invalid, "no root");
        expect(
            |findings| findings.aborted = Some((AbortCause::Guard, "guard".into())),
            Verdict::Aborted,
            "guard",
        );
        expect(|findings| findings.residue.push("a qdisc".into()), Verdict::Residue, "a qdisc");
    }
}
