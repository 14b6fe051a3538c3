// How the search weighs what it finds: the section that teaches a term, other headings of chapters, sections that teach
// a term of which the words are a part, then what chapters say, then the glossary and the other pages of the appendix,
// and at last the code.

const CODE = "book/appendix/api";
const APPENDIX = "book/appendix/";
const TAUGHT = 90; // from here on Sphinx's own score says: an entry of the index
const PART = 40; // and from here on: an entry of which the words are a part
const HEADING = 11; // and from here on: in a title, or a heading

// biome-ignore lint/correctness/noUnusedVariables: Sphinx puts this before its search, which declares it again
var Scorer = {
  score: ([docname, , anchor, , score]) => {
    if (docname.startsWith(CODE)) return score - 100;
    if (docname.startsWith(APPENDIX)) return score >= TAUGHT ? 60 : score - 50;
    if (score >= TAUGHT) return 300 + score;
    if (score >= PART) return 100 + score / 10;
    return score >= HEADING || anchor ? 150 + score : 50 + score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
